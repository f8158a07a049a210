"""Settings of a run: defaults, config files, overrides, and the objects that are built from the settings."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  settings=['DIGIT_TAGS', 'Settings', 'base', 'stream', 'streams'],
  files=[
    'descriptions',
    'differences',
    'find',
    'from_json',
    'load',
    'read',
    'shipped',
    'shipped_folder',
    'to_json',
    'with_stream_defaults',
  ],
  overrides=['override'],
)
