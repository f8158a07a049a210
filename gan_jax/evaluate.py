"""Evaluates a run.

    python -m gan_jax.evaluate --workdir runs/x [--samples 1000]

For runs on the built-in digits: the classes that a classifier sees in the samples, and whether they are copies of
training examples. Writes WORKDIR/evaluation.json.
"""

import dataclasses
import json
from typing import Any

import numpy as np
from absl import flags

from gan_jax import command
from gan_jax.data import transforms
from gan_jax.data.sources.builtin import digits
from gan_jax.errors import UserError
from gan_jax.metrics import classes
from gan_jax.sample import Run, load
from gan_jax.writers import write_text


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
  if stream.split != 'train':
    raise UserError(
      f'evaluation compares with held-out digits, this run has data.split={stream.split!r}: train on train'
    )
  shape = stream.fields(1)['image'].shape[1:]
  drawn = run.sample(samples, seed=seed) if run.stage.game.latents is not None else None
  if not isinstance(drawn, np.ndarray) or drawn.shape[1:] != shape:
    raise UserError(f"evaluation knows games that make one picture {shape} from latents: look at this run's samples")
  # Both compared as stored, 8 bits a pixel.
  made = transforms.to_uint8(drawn, stream.range)
  train, test = (
    digits(dataclasses.replace(stream, split=split, classes=10, random_crop=0)).arrays
    for split in (stream.split, 'test')
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
    write_text(run.workdir / 'evaluation.json', json.dumps(result, indent=2) + '\n')
  print(table(result))


if __name__ == '__main__':
  command.main(_define, _run, __doc__)
