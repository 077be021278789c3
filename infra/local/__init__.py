"""Clipbell on this machine, without AWS: the real template, the real functions, and a provider that is simulated."""
