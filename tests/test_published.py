"""Settings that were read in the authors' code; whatever a config takes otherwise it says under `differs:`."""

import jax
import jax.numpy as jnp
import pytest
from gan_jax.errors import UserError

from gan_jax import config as config_lib
from gan_jax.nets import dcgan, mlp

ADAM = 'optimizers.generator', 'optimizers.discriminator'
#: config: {path: value}. Read in ajbrock/BigGAN-PyTorch (scripts/launch_BigGAN_bs256x8.sh; utils.py: no --augment),
#: StudioGAN (src/config.py), brain-research/self-attention-gan (dataset.py), pfnet-research/sngan_projection (configs,
#: datasets), goodfeli/adversarial (cifar10_*.yaml, __init__.py), kodalinaveen3/DRAGAN, igul222/improved_wgan_training
#: (gan_mnist.py), junyanz/pytorch-CycleGAN-and-pix2pix, duxingren14/DualGAN, SKTBrain/DiscoGAN, yunjey/stargan.
PUBLISHED = {
  'biggan.py': {'data.flip': False},
  'biggan.py:imagenet128_256x8': {'data.flip': False, **{f'{player}.eps': 1e-6 for player in ADAM}},
  'biggan.py:cifar10': {'data.flip': True, **{f'{player}.eps': 1e-6 for player in ADAM}},
  'sagan.py': {'data.flip': False},
  **{f'sngan.py:{name}': {'data.flip': False} for name in ('cifar10', 'cifar10_classes', 'stl10', 'imagenet128')},
  'gan.py:cifar10_fc': {
    'game.latents.name': 'Normal',
    'game.generator.irange': 0.05,
    'game.generator.last_irange': 0.5,
  },
  'gan.py:cifar10_conv': {'game.latents.name': 'Normal'},
  'gan.py:mnist': {'game.latents.name': 'Uniform'},
  **{
    f'biggan.py:imagenet{size}_deep': {
      'optimizers.generator.links.1.learning_rate': 2.5e-5,
      'optimizers.discriminator.learning_rate': 2.5e-5,
    }
    for size in (256, 512)
  },
  'madgan.py:mnist': {f'{player}.learning_rate': 1e-5 for player in ADAM},
  'lapgan.py': {
    'optimizers.generators_1.dampened': True,
    'optimizers.generators_1.momentum.init_value': 0.5,
    'stages.0.batch_size': 50,
    'stages.0.steps': 50 * 900,
    'stages.1.batch_size': 64,
  },
  'progressive.py:cifar10': {'game.discriminator.group': 16, 'game.discriminator.pool_last': True},
  'progressive.py:celebahq': {
    'game.discriminator.group': 4,
    'stages.7.batch_size': 4,
    'stages.8.optimizers.generator.learning_rate': 1.5e-3,
    'stages.8.optimizers.discriminator.learning_rate': 1.5e-3,
  },
  'stackgan.py': {'data.random_crop': 76, 'stages.1.data.random_crop': 304, 'stages.1.data.size': 256},
  'cyclegan.py:horse2zebra128': {'game.generator_ab.gain': True, 'game.discriminator_b.gain': True},
  'triple.py': {'game.decayed': 'Dense_0', 'game.decay': 1e-4},
  'dragan.py': {
    'batch_size': 128,
    **{
      f'{player}.{name}': value for player in ADAM for name, value in dict(learning_rate=1e-4, b1=0.5, b2=0.9).items()
    },
  },
  'fastgan.py': {
    'batch_size': 8,
    'steps': 50_000,
    'game.latents.shape': (256,),
    'game.generator.channels': 64,
    'game.augment.policy': ('color', 'translation'),
    **{f'{player}.{name}': value for player in ADAM for name, value in dict(learning_rate=2e-4, b1=0.5).items()},
  },
  'r3gan.py': {
    'batch_size': 512,
    'game.penalty.weight': 0.025,
    'game.augment.probability.end': 0.55,
    'game.generator.channels': (768, 768, 768, 768),
    **{f'{player}.b1': 0.0 for player in ADAM},
    **{f'{player}.learning_rate.end': 5e-5 for player in ADAM},
  },
  'cyclegan.py': {
    'batch_size': 1,
    'data.a.random_crop': 286,
    'game.cycle': 10.0,
    'game.identity': 0.5,
    'game.pool': 50,
    'game.generator_ab.blocks': 9,
    'optimizers.generator.learning_rate.transition_begin': 100 * 1334,
    **{f'{player}.b1': 0.5 for player in ADAM},
  },
  'dualgan.py': {
    'batch_size': 1,
    'game.cycle': 500.0,
    'game.penalty.weight': 10.0,
    **{f'{player}.learning_rate': 5e-5 for player in ADAM},
    **{f'{player}.decay': 0.9 for player in ADAM},
  },
  'discogan.py': {'batch_size': 64, 'game.adversarial': 0.1, 'game.features': 0.9, 'game.distance': 'l2'},
  'stargan.py': {
    'batch_size': 16,
    'data.crop': 178,
    'game.discriminator_steps': 5,
    'game.cycle': 10.0,
    'optimizers.generator.learning_rate.init_value': 1e-4,
  },
  'pix2pix.py:facades': {'batch_size': 1, 'data.random_crop': 286, 'game.l1': 100.0, 'game.generator.dropout': 3},
  'stylegan2.py:cifar': {
    'batch_size': 64,
    'steps': 1_562_500,
    'game.penalty.weight': 0.005,
    'game.path_weight': 0.0,
    'game.generator.mixing': 0.0,
    'game.discriminator.form': 'plain',
    'game.discriminator.group': 32,
    'ema.generator.images': 500_000.0,
    'optimizers.generator.learning_rate': 0.0025 * 4 / 5,
    'optimizers.discriminator.learning_rate': 0.0025 * 16 / 17,
    'optimizers.discriminator.b2': 0.99 ** (16 / 17),
  },
  'stylegan2.py:faces64': {
    'batch_size': 32,
    'game.penalty.weight': 0.0002 * 64**2 / 32 / 2,
    'ema.generator.images': 10_000.0,
    'game.generator.channels': (512, 512, 512, 512, 256),
    'game.generator.layers': 2,
  },
  'wgan_gp.py': {'batch_size': 50, 'game.generator.norm': 'none', 'game.discriminator.norm': 'none'},
}


@pytest.mark.parametrize('name', list(PUBLISHED))
def test_configs_have_the_published_values(name):
  config = config_lib.load(f'configs/{name}').to_dict()
  for path, value in PUBLISHED[name].items():
    found = config
    for part in path.split('.'):
      found = found[int(part) if isinstance(found, tuple | list) else part]
    assert found == value, path


def test_a_last_layer_begins_wider():
  network = mlp.Generator((500,), (20, 20), 'identity', irange=0.05, last_irange=0.5)
  params = network.init(jax.random.key(0), jnp.zeros((1, 9)), train=True)['params']
  largest = [float(jnp.abs(params[f'Dense_{i}']['kernel']).max()) for i in range(2)]
  assert 0.049 < largest[0] <= 0.05 and 0.49 < largest[1] <= 0.5


def test_a_generator_without_batch_norm_has_biases():
  network = dcgan.Generator((6, 5), 1, 4, norm='none', hidden=(7,))
  variables = jax.eval_shape(lambda: network.init(jax.random.key(0), jnp.zeros((2, 3)), train=True))
  assert set(variables) == {'params'} and all(
    set(layer) == {'kernel', 'bias'} for layer in variables['params'].values()
  )
  with pytest.raises(UserError, match="unknown norm of the generator 'layer'"):
    dcgan.Generator(norm='layer').init(jax.random.key(0), jnp.zeros((2, 3)), train=True)
