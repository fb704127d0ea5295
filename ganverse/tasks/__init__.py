"""The Lightning modules: they wire generators, networks and losses together."""
