"""The commands of `spacedockd` beside serving."""
