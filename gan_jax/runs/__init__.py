"""From a config to a run on disk: stages, checkpoints, resuming, populations."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  stages=['Stage', 'clock_at', 'stages_of'],
  entering=['abstract_state', 'enter', 'example_batch', 'new_state'],
  steps=['abstract_feed', 'make_step', 'state_sharding'],
)
