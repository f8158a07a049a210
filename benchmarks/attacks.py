"""Adversarial examples: attacks on classifiers with several defences, where they lie, and how long they take.

    python -m benchmarks.attacks --workdir runs/attacks [--set mnist] [--rows plain,fgsm] [--parts table,transfer]
    python -m benchmarks.attacks --workdir runs/attacks --parts speed       # against foolbox with PyTorch

Each row of configs/adversarial_examples.py of the set is a run in WORKDIR/SET/ROW, which the same command resumes; then
the first --count pictures of the test split, in the order of evaluations, are attacked. Nothing is chosen on them.

  table     accuracy, mean distances and seconds of each attack on each network; FGSM's error and confidence
  transfer  errors of each network on the examples that were made for each, and for all the others together
  density   log-densities (Parzen windows around training pictures) of clean, noisy and adversarial pictures; the
            discriminator's logits too with --gan RUN
  project   accuracy behind the projection onto the generator of --gan RUN (Defense-GAN)
  picture   ten pictures, what changes them, the result
  seeds     errors on all test pictures, clean and under FGSM, of each row with seeds 0, 1, ...: mean and deviation
  speed     PGD-40 of Madry's network, in turn with foolbox
"""

import argparse
import functools
import json
import pathlib
import statistics
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.tree_util import Partial

import gan_jax
from gan_jax import attacks, runs
from gan_jax import config as config_lib
from gan_jax.data import sets
from gan_jax.metrics import parzen
from gan_jax.nets import classifier
from gan_jax.sampling import pictures
from gan_jax.training import loop as train

ROWS = {
  'mnist': {'plain': 'mnist_plain', 'softmax': 'mnist_softmax', 'fgsm': 'mnist', 'noise': 'mnist_noise',
            'pgd': 'mnist_pgd', 'trades': 'mnist_trades', 'ensemble': 'mnist_ensemble'},
  'cifar10': {'plain': 'cifar10_plain', 'pgd': 'cifar10_pgd'},
  'digits': {'plain': 'digits_plain', 'fgsm': 'digits', 'ensemble': 'digits_ensemble'},
}  # fmt: skip
EPS = {'mnist': 0.25, 'cifar10': 8 / 255, 'digits': 0.25}
PARTS = ('table', 'transfer', 'density', 'project', 'picture', 'seeds', 'speed')


@functools.cache
def key() -> jax.Array:
  return jax.random.key(0)


def all_attacks(eps: float, quick: bool) -> dict[str, tuple[Any, dict[str, Any]]]:
  """{name: (attack, settings)}; those of least distance have no eps."""
  few, starts = (10, 2) if quick else (1, 5)
  return {
    'FGSM': (attacks.fgsm, dict(eps=eps)),
    'FGSM, random start': (attacks.fgsm, dict(eps=eps, start=eps / 2)),
    'BIM-10': (attacks.bim, dict(eps=eps)),
    'PGD-40': (attacks.pgd, dict(eps=eps)),
    f'PGD-40, {starts} restarts': (attacks.pgd, dict(eps=eps, restarts=starts)),
    'MIM-10': (attacks.mim, dict(eps=eps)),
    'least likely-10': (attacks.least_likely, dict(eps=eps)),
    'Carlini-Wagner L2': (attacks.carlini_wagner, dict(steps=200 // few, searches=6, constant=0.1, learning_rate=0.02)),
    'DeepFool L2': (attacks.deepfool, dict(steps=20)),
    'SPSA': (attacks.spsa, dict(eps=eps, steps=50 // few, samples=64 // few)),
    'NES': (attacks.nes, dict(eps=eps, steps=50 // few, samples=50 // few)),
    'square': (attacks.square, dict(eps=eps, queries=1000 // few)),
  }


def _scaled(pixels: np.ndarray) -> np.ndarray:
  return (pixels / np.float32(255)).astype(np.float32)


def network_of(folder: pathlib.Path) -> Partial:
  """The classifier of a run, trained."""
  run = gan_jax.load(folder)
  player = run.state.players['classifier']
  variables = {'params': player.params['classifier'], **{k: v['classifier'] for k, v in player.variables.items()}}
  return attacks.logits_fn(run.stage.game.classifier, variables)


def trained(values, row: str, seed: int) -> Partial:
  folder = pathlib.Path(values.workdir) / values.set / f'{row}-seed{seed}'
  if values.trained and folder.exists():
    return network_of(folder)
  config = config_lib.load(f'configs/adversarial_examples.py:{ROWS[values.set][row]}')
  changes = [f'--config.seed={seed}', '--config.devices=1']
  if values.inner and ROWS[values.set][row].endswith(('pgd', 'trades')):
    changes += [f'--config.game.defence.steps={values.inner}', f'--config.game.defence.step_size={2.5 / values.inner}']
  if values.steps:
    changes += [f'--config.steps={values.steps}', '--config.sample_every=0', '--config.checkpoint_every=0']
  train.run(config_lib.override(config, changes), folder, silent=True)
  return network_of(folder)


def table(values, networks, x, labels) -> list[str]:
  rows = ['| attack | ' + ' | '.join(networks) + ' |', '|---' * (len(networks) + 1) + '|']
  cell = lambda found, seconds: (
    f'{100 * found.accuracy:.1f} (l2 {found.l2:.2f}, linf {found.linf:.3f}, {seconds:.1f} s)'
  )
  clean = [f'{100 * attacks.report(network, x, x, labels).accuracy:.2f}' for network in networks.values()]
  rows.append('| none | ' + ' | '.join(clean) + ' |')
  confident = []
  for title, (attack, settings) in all_attacks(EPS[values.set], values.quick).items():
    cells = []
    for name, network in networks.items():
      attacks.in_batches(
        attack, key(), network, x[: values.batch], labels[: values.batch], size=values.batch, **settings
      )
      start = time.perf_counter()
      made = attacks.in_batches(attack, key(), network, x, labels, size=values.batch, **settings)
      cells.append(cell(found := attacks.report(network, x, made, labels), time.perf_counter() - start))
      if title == 'FGSM':
        confident.append(
          f'FGSM on {name}: error {100 - 100 * found.accuracy:.1f} %, confidence {100 * found.confidence:.1f} %'
        )
    rows.append(f'| {title} | ' + ' | '.join(cells) + ' |')
    print(rows[-1], flush=True)
  return [*rows, '', f'accuracy in % on {len(x)} test pictures, eps {EPS[values.set]:.3g}', *confident]


def transfer(values, networks, x, labels) -> list[str]:
  eps = EPS[values.set]
  attack = lambda f: attacks.in_batches(attacks.mim, key(), f, x, labels, size=values.batch, eps=eps)
  found = attacks.transfer_rates(attack, networks, labels)
  rows = ['| made for | ' + ' | '.join(networks) + ' |', '|---' * (len(networks) + 1) + '|']
  for source, shown in found.items():
    rows.append(f'| {source} | ' + ' | '.join(f'{100 * share:.1f}' for share in shown.values()) + ' |')
  for title, join, settings in (
    ('all others, mean of logits', attacks.mean_of_logits, {}),
    ('all others, mean of losses', attacks.stack, dict(loss=attacks.mean_of_losses)),
  ):
    shown = []
    for name, network in networks.items():
      others = join(*(other for key, other in networks.items() if key != name))
      made = attacks.in_batches(attacks.mim, key(), others, x, labels, size=values.batch, eps=eps, **settings)
      shown.append(attacks.error_rate(network, made, labels))
    rows.append(f'| {title} | ' + ' | '.join(f'{100 * share:.1f}' for share in shown) + ' |')
  ensemble = attacks.mean_of_logits(*networks.values())
  alone = attack(ensemble)
  told = f'the mean of all, attacked itself: error {100 * attacks.error_rate(ensemble, alone, labels):.1f} %'
  by_one = ', '.join(
    f'{name} {100 * attacks.error_rate(ensemble, attack(f), labels):.1f} %' for name, f in networks.items()
  )
  return [*rows, '', 'error in %, MIM-10', told, f'and by examples made for one network: {by_one}']


def over_seeds(values, names, stream) -> list[str]:
  pixels, labels = sets.examples(stream, 10**9)
  x, labels = _scaled(pixels), np.asarray(labels)
  rows = ['| trained | clean error, % | each seed | FGSM, % | its confidence, % |', '|---|---|---|---|---|']
  shown = lambda numbers: f'{np.mean(numbers):.2f} +- {np.std(numbers, ddof=1):.2f}'
  for name in names:
    clean, fooled, confidence = [], [], []
    for seed in range(values.seeds):
      network = trained(values, name, seed)
      made = attacks.in_batches(attacks.fgsm, key(), network, x, labels, size=values.batch, eps=EPS[values.set])
      found = attacks.report(network, x, made, labels)
      clean.append(100 * attacks.error_rate(network, x, labels))
      fooled.append(100 - 100 * found.accuracy)
      confidence.append(100 * found.confidence)
    each = ', '.join(f'{error:.2f}' for error in clean)
    rows.append(f'| {name} | {shown(clean)} | {each} | {shown(fooled)} | {shown(confidence)} |')
    print(rows[-1], flush=True)
  return [*rows, '', f'{len(x)} test pictures, {values.seeds} seeds, deviation over seeds']


def density(values, networks, x, labels, windows) -> list[str]:
  eps, random = EPS[values.set], np.random.RandomState(0)
  network = next(iter(networks.values()))
  kinds = {
    'clean': x,
    'noise, uniform': np.clip(x + random.uniform(-eps, eps, x.shape), 0, 1).astype(np.float32),
    'noise, signs': np.clip(x + eps * random.choice([-1, 1], x.shape), 0, 1).astype(np.float32),
    'FGSM': attacks.in_batches(attacks.fgsm, key(), network, x, labels, size=values.batch, eps=eps),
    'PGD-40': attacks.in_batches(attacks.pgd, key(), network, x, labels, size=values.batch, eps=eps),
  }
  judged = discriminator_of(values.gan) if values.gan else None
  rows = ['| pictures | log-density, 5 %, 50 %, 95 %, nats |' + (' logit of the discriminator |' if judged else ''),
          '|---|---|' + ('---|' if judged else '')]  # fmt: skip
  quantiles = lambda a: ', '.join(f'{q:.1f}' for q in np.quantile(a, (0.05, 0.5, 0.95)))
  for name, made in kinds.items():
    (found,) = parzen.log_likelihoods(windows, made, [0.2])
    extra = f' {quantiles(judged(made))} |' if judged else ''
    rows.append(f'| {name} | {quantiles(found)} |{extra}')
    edges = np.histogram(found, 20)
    (pathlib.Path(values.workdir) / f'density-{name.replace(", ", "-")}.json').write_text(
      json.dumps({'counts': edges[0].tolist(), 'edges': edges[1].tolist()})
    )
  return [*rows, '', f'windows of deviation 0.2 around {len(windows)} training pictures']


def gan_of(workdir: str):
  run = gan_jax.load(workdir)
  if isinstance(run.stage.game.latents, Mapping):
    sys.exit(f'--gan {workdir}: its latents are several parts; give a GAN without classes')
  return run


def discriminator_of(workdir: str):
  run = gan_of(workdir)
  low, high = run.range

  def judge(variables, x):
    return run.stage.game.apply(
      variables, low + (high - low) * x, method=lambda game, x: game.discriminator(x, train=False)
    ).reshape(len(x), -1)

  return lambda x: attacks.logits_of(Partial(judge, run.variables()), x)


def project(values, networks, x, labels) -> list[str]:
  run = gan_of(values.gan)
  low, high = run.range
  noise = key()  # here: what is made while `generate` is traced cannot be kept

  def generate(variables, z):
    made = run.stage.game.apply(variables, {'latents': z}, method='sample', rngs={'noise': noise})
    return (made - low) / (high - low)

  maker = Partial(generate, run.variables())
  starts = run.latents(values.restarts * len(x), seed=values.seed)
  starts = starts.reshape(values.restarts, len(x), *starts.shape[1:])
  rows = ['| network | clean | clean, projected | FGSM | FGSM, projected |', '|---|---|---|---|---|']
  steps = 20 if values.quick else 200
  cleaned = attacks.project(maker, x, starts, steps=steps)
  for name, network in networks.items():
    made = attacks.in_batches(attacks.fgsm, key(), network, x, labels, size=values.batch, eps=EPS[values.set])
    shown = (x, cleaned, made, attacks.project(maker, made, starts, steps=steps))
    rows.append(
      f'| {name} | ' + ' | '.join(f'{100 - 100 * attacks.error_rate(network, s, labels):.1f}' for s in shown) + ' |'
    )
  return [*rows, '', f'accuracy in %; {values.restarts} searches of {steps} steps in the range of {values.gan}']


def picture(values, networks, x, labels) -> list[str]:
  chosen = [int(np.flatnonzero(labels == digit)[0]) for digit in np.unique(labels)]
  lines = []
  for name, network in networks.items():
    made = np.asarray(attacks.fgsm(key(), network, x[chosen], labels[chosen], eps=EPS[values.set]))
    rows = np.concatenate([x[chosen], (made - x[chosen]) / (2 * EPS[values.set]) + 0.5, made])
    file = pathlib.Path(values.workdir) / f'{values.set}-{name}.png'
    pictures.write(pictures.grid(rows, (0.0, 1.0), columns=len(chosen)), file)
    seen = attacks.logits_of(network, made).argmax(-1)
    lines.append(f'{file}: {labels[chosen].tolist()} are seen as {seen.tolist()}')
  return lines


def speed(values) -> list[str]:
  """PGD-40 of 1,000 pictures of 28x28 by gan_jax and by foolbox, in turn, on a network of the same weights."""
  import foolbox
  import torch

  count, channels, hidden = (20, (4, 8), 32) if values.quick else (1000, (32, 64), 1024)
  x = np.random.RandomState(0).rand(count, 28, 28, 1).astype(np.float32)
  labels = np.arange(count) % 10
  net = classifier.ConvClassifier(10, channels, (hidden,))
  variables = net.init(key(), x[:1], train=False)
  p = jax.device_get(variables['params'])
  theirs = torch.nn.Sequential(
    torch.nn.Conv2d(1, channels[0], 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
    torch.nn.Conv2d(channels[0], channels[1], 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
    torch.nn.Flatten(), torch.nn.Linear(49 * channels[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10),
  )  # fmt: skip
  first = p['Dense_0']['kernel'].reshape(7, 7, channels[1], hidden).transpose(2, 0, 1, 3).reshape(-1, hidden)
  kernels = [p['Conv_0']['kernel'].transpose(3, 2, 0, 1), p['Conv_1']['kernel'].transpose(3, 2, 0, 1), first.T,
             p['Dense_1']['kernel'].T]  # fmt: skip
  biases = [p[name]['bias'] for name in ('Conv_0', 'Conv_1', 'Dense_0', 'Dense_1')]
  for layer, kernel, bias in zip([theirs[i] for i in (0, 3, 7, 9)], kernels, biases, strict=True):
    layer.weight.data, layer.bias.data = torch.tensor(np.ascontiguousarray(kernel)), torch.tensor(np.array(bias))
  theirs.eval()
  model = foolbox.PyTorchModel(theirs, bounds=(0, 1), device='cpu')
  given = torch.tensor(np.moveaxis(x, -1, 1)), torch.tensor(labels)
  network = attacks.logits_fn(net, variables)
  difference = np.abs(attacks.logits_of(network, x) - theirs(given[0]).detach().numpy()).max()
  assert difference < 1e-3, f'the networks differ by {difference}'
  attack = foolbox.attacks.LinfPGD(rel_stepsize=1 / 30, steps=40)
  sides = {
    'gan_jax': lambda: attacks.in_batches(
      attacks.pgd, key(), network, x, labels, size=min(values.batch, count), eps=0.3
    ),
    'foolbox': lambda: [
      attack(model, given[0][i : i + values.batch], given[1][i : i + values.batch], epsilons=0.3)
      for i in range(0, count, values.batch)
    ],
  }
  times: dict[str, list[float]] = {side: [] for side in sides}
  for round_number in range(values.rounds + 1):
    for side, make in sides.items():
      start = time.perf_counter()
      make()
      if round_number:  # the first compiles
        times[side].append(time.perf_counter() - start)
  ratios = [b / a for a, b in zip(times['gan_jax'], times['foolbox'], strict=True)]
  middle = {side: statistics.median(seconds) for side, seconds in times.items()}
  return [
    f'PGD-40 on {count} pictures: gan_jax {middle["gan_jax"]:.2f} s, foolbox {middle["foolbox"]:.2f} s, ratio '
    f'{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); logits differ by {difference:.0e}'
  ]


def main(arguments: list[str] | None = None) -> str:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--workdir', required=True)
  parser.add_argument('--set', default='mnist', choices=ROWS)
  parser.add_argument('--rows', default='', help='by commas; all of the set by default')
  parts = f'by commas, of {", ".join(PARTS)}; by default table, transfer (of two rows), density and picture'
  parser.add_argument('--parts', default='', help=parts)
  parser.add_argument('--gan', default='', help='a run of a GAN on the same pictures, for density and project')
  parser.add_argument('--count', type=int, default=1000, help='test pictures')
  parser.add_argument('--batch', type=int, default=250)
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument('--seeds', type=int, default=5, help='of the part seeds')
  parser.add_argument('--steps', type=int, default=0, help="of training; 0 for the config's")
  parser.add_argument(
    '--inner', type=int, default=0, help="PGD's steps in training, of 2.5 eps in all; 0: the config's"
  )
  parser.add_argument('--trained', action='store_true', help='takes runs that exist as they are, and trains others')
  parser.add_argument('--restarts', type=int, default=10, help='of the projection')
  parser.add_argument('--rounds', type=int, default=5, help='of the comparison of speed')
  parser.add_argument('--quick', action='store_true', help='a tenth of the queries')
  values = parser.parse_args(arguments)
  default = ['table', *(['transfer'] if values.rows.count(',') or not values.rows else []), 'density', 'picture']
  parts = values.parts.split(',') if values.parts else default
  if unknown := sorted(set(parts) - set(PARTS)):
    parser.error(f'unknown part {unknown[0]!r}: choose of {", ".join(PARTS)}')
  if 'seeds' in parts and values.seeds < 2:
    parser.error('--seeds must be at least 2')
  if 'project' in parts and not values.gan:
    parser.error('the part project needs --gan, a run of a GAN on the same pictures')
  rows = values.rows.split(',') if values.rows else list(ROWS[values.set])
  if unknown := sorted(set(rows) - set(ROWS[values.set])):
    parser.error(f'unknown row {unknown[0]!r}: choose of {", ".join(ROWS[values.set])}')
  if 'transfer' in parts and len(rows) < 2:
    parser.error('the part transfer needs two rows: name two in --rows, or parts without it in --parts')
  pathlib.Path(values.workdir).mkdir(parents=True, exist_ok=True)
  file = pathlib.Path(values.workdir) / f'{values.set}-{"-".join(parts)}.md'
  out: list[str] = []

  def show(name: str, lines: list[str]) -> None:
    # At once: what a part has measured outlives whatever fails after it.
    new = ['', f'## {name}', '', *lines]
    print('\n'.join(new), flush=True)
    out.extend(new)
    file.write_text('\n'.join(out) + '\n')

  if parts != ['speed']:
    networks = {row: trained(values, row, values.seed) for row in rows}
    config = config_lib.load(f'configs/adversarial_examples.py:{ROWS[values.set][rows[0]]}')
    stream = next(iter(runs.stages_of(config)[0].streams.values()))
    held_out = sets.held_out_stream(stream)
    pixels, labels = sets.examples(held_out, values.count)
    windows = _scaled(sets.examples(stream, 1000 if values.quick else 10_000)[0])
    x, labels = _scaled(pixels), np.asarray(labels)
    for name, part in (('table', table), ('transfer', transfer), ('project', project), ('picture', picture)):
      if name in parts:
        show(name, part(values, networks, x, labels))
    if 'seeds' in parts:
      show('seeds', over_seeds(values, rows, held_out))
    if 'density' in parts:
      show('density', density(values, networks, x, labels, windows))
  if 'speed' in parts:
    show('speed', speed(values))
  return '\n'.join(out)


if __name__ == '__main__':
  main()
