"""`python -m xor_mi`, the same as the command `xor-mi`."""

from xor_mi.cli import main

if __name__ == "__main__":
    main()
