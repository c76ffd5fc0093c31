"""Model clients: one small protocol, the vendors behind it, prices, and models that play a script or a recording."""
