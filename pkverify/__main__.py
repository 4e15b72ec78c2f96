"""``python -m pkverify``."""

from pkverify.cli import main

if __name__ == "__main__":
    main()
