"""Against other people's implementations: `make test-parity` installs them, everywhere else these tests are skipped."""
