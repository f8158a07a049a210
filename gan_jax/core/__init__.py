"""The one abstraction: a game, its turns and players, one move, one step. It knows no network and no file."""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  game=['Clock', 'GameState', 'TrainState', 'Turn', 'game_variables', 'init', 'input_gradients', 'read_clock'],
  moves=['make_step', 'means', 'play'],
)
