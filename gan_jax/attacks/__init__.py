"""Adversarial examples: attacks on any logits function, and what is measured of them.

Every attack is a pure function `(key, logits_fn, x, labels, *, ...) -> x'`: examples (B, ...) between `low` and `high`,
labels (B,), and examples of the same shape that the network behind `logits_fn` takes for another class. Source of the
term: Szegedy et al. 2013, https://arxiv.org/abs/1312.6199.
"""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  gradient=['fgsm', 'bim', 'pgd', 'mim', 'least_likely'],
  optimised=['carlini_wagner', 'deepfool'],
  black_box=['spsa', 'nes', 'square'],
  networks=['logits_fn'],
  ensemble=['mean_of_logits', 'stack', 'mean_of_losses', 'transfer_rates'],
  projection=['project'],
  measure=['report', 'error_rate', 'logits_of', 'in_batches'],
)
