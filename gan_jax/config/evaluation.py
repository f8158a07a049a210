"""How to evaluate: the settings of config.eval and the flags of `gan_jax.evaluate`."""

from typing import NamedTuple


class Options(NamedTuple):
  """How to evaluate. config.eval has these settings and `every`.

  Attributes:
    metrics: names of `evaluation.measures.MEASURES`; empty to choose those that fit the data set.
    samples: the number of generated samples.
    features: a name of `features.choose`.
    inception_weights: the file of Inception's weights, for features='inception'.
    seed: the seed of the latents.
    stream: the name of the reference stream; '' for the first.
    output: the name of the output to evaluate, if the game has several.
    split: the split of the reference; '' for that of the stream.
    weights: 'ema' for the running averages of players that keep them, or 'raw'.
    truncation: draw normal latents again until their absolute value is below this number; 0 for no truncation.
    standing: replace the running statistics of batch norm by those of so many batches; 0 to keep them.
    rivals: workdirs of other runs to compare with, for the metric gmam.
  """

  metrics: tuple[str, ...] = ()
  samples: int = 50_000
  features: str = 'auto'
  inception_weights: str = ''
  seed: int = 1
  stream: str = ''
  output: str = ''
  split: str = ''
  weights: str = 'ema'
  truncation: float = 0.0
  standing: int = 0
  rivals: tuple[str, ...] = ()


#: The defaults during training: one figure that shows the progress, with few samples.
IN_TRAINING = {'every': 0, **Options(metrics=('fid',), samples=5000)._asdict()}
