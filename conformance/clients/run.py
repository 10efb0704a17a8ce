"""Runs mosquitto's tools, paho-mqtt and the story of all dialects; ends with a line as cargo has it."""

import sys
import unittest

MODULES = ("with_mosquitto", "with_paho", "story")


def main() -> int:
    """Takes names of tests, such as ``with_paho.Version5``; without any, runs all."""
    tests = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[1:] or MODULES)
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=1).run(tests)
    failed = len(result.failures) + len(result.errors)
    word = "ok" if result.wasSuccessful() else "FAILED"
    print(f"test result: {word}. {result.testsRun - failed} passed; {failed} failed;", flush=True)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
