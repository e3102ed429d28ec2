"""`spacedock doctor`: the queue as it is seen from here, and the host as its worker or its daemon sees it."""
