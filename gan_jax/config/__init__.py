"""Settings of a run: their defaults, the files that set them, overrides, and the objects built of them."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  settings=['Settings', 'base', 'stream'],
  files=[
    'descriptions',
    'differences',
    'find',
    'from_json',
    'load',
    'shipped',
    'shipped_folder',
    'to_json',
    'with_stream_defaults',
  ],
  overrides=['override'],
)
