"""The pytest plugin under test, loaded here and not as an entry point, so that the shape checker sees its imports; and pytest's own test bench."""

pytest_plugins = ["xor_mi.pytest_plugin", "pytester"]
