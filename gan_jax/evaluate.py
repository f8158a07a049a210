"""Evaluates a run.

    python -m gan_jax.evaluate --workdir runs/x [--samples 1000]

For runs on the built-in digits: the classes that a classifier sees in the samples, and whether they are copies of
training examples. Writes WORKDIR/evaluation.json.
"""

import json
from typing import Any

import numpy as np
from absl import flags

from gan_jax import command
from gan_jax.data import sources, transforms
from gan_jax.errors import UserError
from gan_jax.metrics import classes
from gan_jax.sample import Run, load


def evaluate(run: Run, samples: int = 1000, seed: int = 1) -> dict[str, Any]:
  """The class balance and the copying test of a run on the built-in digits.

  Args:
    run: from `gan_jax.load`.
    samples: how many to draw.
    seed: of the latents.

  Returns:
    {figure: value}, with the protocol.

  Raises:
    UserError: the run's data are not the built-in digits.
  """
  stream = next(iter(run.stage.streams.values()))
  if stream.name != 'digits':
    raise UserError(f'evaluation knows the built-in digits only, this run has {stream.name!r}: look at its samples')
  # Both compared as stored, 8 bits a pixel.
  made = transforms.to_uint8(run.sample(samples, seed=seed), stream.range)
  train, test = (
    sources.digits(split, stream.size, stream.channels, labels=True).arrays for split in (stream.split, 'test')
  )
  scale = lambda images: np.asarray(images, np.float64) / 255
  report = classes.class_report(scale(train['image']), train['label'], scale(test['image']), test['label'], scale(made))
  copies = classes.copy_report(scale(train['image']), scale(test['image']), scale(made))
  return {
    'step': run.step,
    'samples': samples,
    'classifier_accuracy': report.accuracy,
    'class_shares': [round(float(share), 4) for share in report.shares],
    'median_confidence': report.confidence,
    'nearest_training_example': copies.samples,
    'nearest_training_example_of_held_out': copies.held_out,
    'protocol': f'{samples} samples of seed {seed}; scikit-learn MLP of 256 units on digits train '
    f'({len(train["label"])}), accuracy on digits test ({len(test["label"])}); distances root mean square per pixel '
    'in [0, 1], medians',
  }


def table(result: dict[str, Any]) -> str:
  """The result as lines for the console."""
  samples, held_out = result['nearest_training_example'], result['nearest_training_example_of_held_out']
  verdict = 'no closer than held-out digits are: no copies' if samples >= held_out else 'closer: they look like copies'
  shares = '  '.join(f'{digit}: {100 * share:.1f} %' for digit, share in enumerate(result['class_shares']))
  return '\n'.join(
    [
      f'classifier        {100 * result["classifier_accuracy"]:.1f} % right on held-out real digits',
      f'classes           {shares}',
      f'                  the rarest has {100 * min(result["class_shares"]):.1f} % of {result["samples"]} samples',
      f'confidence        {result["median_confidence"]:.3f} (median)',
      f'copying           samples are {samples:.3f} from the nearest training digit, held-out real digits '
      f'{held_out:.3f}; {verdict}',
    ]
  )


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string('workdir', None, 'The run to evaluate.', flag_values=values)
  flags.DEFINE_integer('samples', 1000, 'How many samples to draw.', lower_bound=10, flag_values=values)


def _run(values: flags.FlagValues, rest: list[str]) -> None:
  command.no_rest(rest)
  command.require(values, 'workdir')
  run = load(values.workdir)
  result = evaluate(run, values.samples)
  with command.writable(run.workdir):
    (run.workdir / 'evaluation.json').write_text(json.dumps(result, indent=2) + '\n')
  print(table(result))


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
