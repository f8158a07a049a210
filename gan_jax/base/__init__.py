"""What every room stands on: errors, command lines, files, caches. It knows no network and no game."""
