"""The abstraction under every GAN: a game, its turns and players, one move, one step.

Nothing here depends on a certain network or on files.
"""

from gan_jax.base import lazy

__getattr__, __dir__, __all__ = lazy.attach(
  __name__,
  __path__,
  clock=['Clock', 'read_clock', 'read_parts'],
  compute=['Compute', 'unrolling'],
  game=[
    'Game',
    'HasClassifier',
    'HasCodes',
    'HasLayers',
    'HasLogits',
    'HasObjective',
    'RANDOM_STREAMS',
    'Turn',
    'check',
    'classified_in',
    'frozen_players',
    'moves_per_step',
    'network',
    'turn_batch',
    'owner',
    'players_of',
    'samples_in_training',
    'turn_streams',
    'unaveraged_players',
  ],
  gradients=['explaining_leaks', 'input_gradients'],
  initial=['init'],
  move=['RESERVED', 'play'],
  sampled=['Output', 'asked_in', 'given', 'inputs_of', 'outputs_of'],
  state=['GameState', 'TrainState', 'assemble', 'game_variables', 'of_player', 'active_players', 'variables_of_player'],
  step=['make_step', 'means'],
)
