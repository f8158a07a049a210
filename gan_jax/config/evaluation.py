"""How to evaluate: the settings of config.eval and the flags of `gan_jax.evaluate`."""

from typing import NamedTuple


class Options(NamedTuple):
  """How to evaluate. config.eval has these settings and `every`.

  Attributes:
    metrics: names of `evaluation.measures.MEASURES`, or dotted names of functions of yours; empty for those that suit
      the set.
    samples: how many to generate.
    features: a name of `features.choose`.
    inception_weights: the file of Inception's weights, for features='inception'.
    seed: of the latents.
    stream: the name of the stream that is the reference; '' for what the output imitates, else the first.
    output: which of several things the game makes; '' for each that its `outputs` name.
    split: of the reference; '' for the stream's own.
    weights: 'ema', the running averages where they are kept, or 'raw'.
    truncation: of normal latents; 0 for none.
    standing: batches whose statistics replace batch norm's running ones; 0 for none.
    rivals: workdirs of runs to compare with, for the metric gmam.
    classes_of: the field of the data whose classes the metrics see.
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
  classes_of: str = 'label'


#: The defaults during training: one figure that shows the progress, with few samples.
IN_TRAINING = {'every': 0, **Options(metrics=('fid',), samples=5000)._asdict()}
