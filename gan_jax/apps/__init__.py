"""Pages in the browser: a look at a run, and GAN Lab. `explore` and `lab` compute, without Gradio; pages lay out."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(__name__, __path__)
