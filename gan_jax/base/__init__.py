"""Helpers that all other packages use: errors, command lines, files, caches. They use no network and no game."""
