"""The pytest plugin under test, loaded here and not as an entry point so that the shape checker
comes first; and pytest's own test harness (pytester).
"""

pytest_plugins = ["xor_mi.pytest_plugin", "pytester"]
