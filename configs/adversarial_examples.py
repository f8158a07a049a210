"""Adversarial examples: a classifier trained as it is, or against attacks that change its inputs by a little.

Paper: Goodfellow et al. 2014 (explaining and harnessing), https://arxiv.org/abs/1412.6572
Command: python -m gan_jax.main --config configs/adversarial_examples.py:digits --workdir runs/adversarial

  mnist            the maxout network of that paper (240 units), trained by FGSM's mixed objective; the default.
  mnist_plain      the same network without a defence.
  mnist_noise      the maxout network on noise of the same size in place of FGSM's examples.
  mnist_softmax    softmax regression, without a defence.
  mnist_pgd        Madry's network, trained on PGD's examples (Madry et al. 2017, https://arxiv.org/abs/1706.06083).
  mnist_trades     the same network by TRADES (Zhang et al. 2019, https://arxiv.org/abs/1901.08573).
  mnist_ensemble   the maxout network against examples made for two other networks too (Tramer et al. 2017,
                   https://arxiv.org/abs/1705.07204).
  cifar10_plain    the classifier of the features, without a defence.
  cifar10_pgd      the same on PGD's examples: eps 8/255, 7 steps of 2/255.
  digits           scikit-learn's digits (8x8), FGSM's mixed objective: needs no download.
  digits_plain     without a defence.
  digits_ensemble  against examples made for two others too.

What attacks make of the networks of MNIST and CIFAR-10: docs/results.md, some after fewer steps; those of digits are
unmeasured. The command is `python -m benchmarks.attacks --workdir runs/attacks`.

differs: the paper's adversarially trained network has 1,600 units a layer and stops early; here 240 and a fixed end:
  --config.game.classifier.units="(1600, 1600)".
differs: PGD training and TRADES end after 5,000 steps, Madry et al. after 100,000; TRADES has Madry's network, batch
  and Adam at 1e-4, its authors another network, batches of 128 and momentum at 0.01, which falls in steps.
differs: Madry's network starts with weights of the size of its inputs and biases of 0, the authors' with truncated
  N(0, 0.1) and 0.1.
differs: `cifar10_pgd` is ours: a small network, Adam at 1e-3, 6,000 steps, pictures as they are. Madry et al. have a
  wide residual one, momentum, 80,000 steps, pictures cut, flipped and standardised.
differs: the paper trains on all 60,000 digits in the end, TRADES too, Madry et al. on 55,000; here on the first 50,000.
differs: the rate of the maxout networks is divided by 1.00004 a step, in the authors' code (lisa-lab/pylearn2,
  scripts/papers/maxout/mnist_pi.yaml) by 1.000004: after 25,000 steps it is 0.037, theirs 0.090.
differs: the momentum of the maxout networks is 0.7 at the last step (mnist: 25,000), the authors' at epoch 250,
  which is step 125,000.
differs: the inputs that dropout keeps are divided by 0.8, in the authors' code they stay as they are.
"""

from gan_jax import config as config_lib

VARIANTS = (
  'mnist', 'mnist_plain', 'mnist_noise', 'mnist_softmax', 'mnist_pgd', 'mnist_trades', 'mnist_ensemble',
  'cifar10_plain', 'cifar10_pgd', 'digits', 'digits_plain', 'digits_ensemble',
)  # fmt: skip
CLASSES = 10
#: {set: (pixels a side, channels, split, batch size, eps)}
SETS = {
  'mnist': (28, 1, 'train[:50000]', 100, 0.25),
  'cifar10': (32, 3, 'train', 128, 8 / 255),
  'digits': (8, 1, 'train', 100, 0.25),
}
#: Steps of each; those that attack themselves many times a step have fewer.
STEPS = {'mnist': 25_000, 'mnist_pgd': 5_000, 'mnist_trades': 5_000, 'cifar10_pgd': 6_000}
DEFENCES = {
  'plain': dict(name='Plain'),
  'softmax': dict(name='Plain'),
  'noise': dict(name='Noise', alpha=0.5),
  'pgd': dict(name='PGD', steps=40, step_size=1 / 30),
  'trades': dict(name='TRADES', beta=1.0, steps=40, step_size=1 / 30),
  'ensemble': dict(name='Ensemble'),
  '': dict(name='FGSM', alpha=0.5),
}


def get_config(variant):
  data, _, kind = variant.partition('_')
  size, channels, split, batch, eps = SETS[data]
  defence = dict(DEFENCES[kind])
  if variant == 'cifar10_pgd':
    defence |= dict(steps=7, step_size=0.25)
  if kind in ('pgd', 'trades'):
    eps, batch = (0.3, 50) if data == 'mnist' else (eps, batch)
  steps = STEPS.get(variant, {'mnist': 25_000, 'cifar10': 8_000, 'digits': 2_000}[data])
  # At Madry's rate: at 1e-3 the loss of PGD's examples stays at log 10 (2,000 steps on MNIST).
  adam = dict(name='optax.adam', learning_rate=1e-4 if data == 'mnist' and kind in ('pgd', 'trades') else 1e-3)
  maxout = data != 'cifar10' and kind in ('', 'plain', 'noise', 'ensemble')
  return config_lib.base(
    game=dict(
      name='robust.Robust',
      classifier=_network(data, kind),
      defence=defence,
      eps=eps,
      limits=(0.0, 1.0),
      sources=_sources(size) if kind == 'ensemble' else (),
    ),
    optimizers=dict(
      classifier=_momentum(steps) if maxout else adam,
      **(dict(sources=adam) if kind == 'ensemble' else {}),
    ),
    data=config_lib.stream(name=data, split=split, size=size, channels=channels, range=(0.0, 1.0), classes=CLASSES),
    batch_size=batch,
    steps=steps,
    log_every=200,
    sample_every=max(1_000, steps // 5),
    checkpoint_every=max(1_000, steps // 5),
  )


def _network(data, kind):
  if data == 'cifar10':
    return dict(name='classifier.Classifier', classes=CLASSES, widths=(48, 96, 192, 256, 256))
  if kind == 'softmax':
    return dict(name='mlp.Softmax', classes=CLASSES)
  if kind in ('pgd', 'trades'):
    return dict(name='classifier.ConvClassifier', classes=CLASSES, channels=(32, 64), hidden=(1024,))
  return dict(
    name='mlp.MaxoutDiscriminator', units=(240, 240), pieces=5, dropout=(0.2, 0.5, 0.5), irange=0.005, outputs=CLASSES
  )


def _sources(size):
  small = dict(name='mlp.Discriminator', hidden=(200, 200), slope=0.0, outputs=CLASSES)
  if size == 8:
    return (small, dict(name='mlp.Softmax', classes=CLASSES))
  return (small, dict(name='classifier.ConvClassifier', classes=CLASSES, channels=(16, 32), hidden=(128,)))


def _momentum(steps):
  """Momentum from 0.5 to 0.7, a falling rate, bounded columns: the authors' yaml but for the `differs:` above."""
  rate = dict(
    name='optax.exponential_decay', init_value=0.1, transition_steps=1, decay_rate=1 / 1.00004, end_value=1e-6
  )
  grown = dict(name='optax.linear_schedule', init_value=0.5, end_value=0.7, transition_steps=steps)
  descent = dict(name='momentum', learning_rate=rate, momentum=grown)
  return dict(name='chain', links=(descent, dict(name='max_column_norm', limit=1.9365)))
