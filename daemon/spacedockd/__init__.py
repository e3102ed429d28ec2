"""The Spacedock daemon: configuration, supervision of its children, systemd."""
