"""Weights begin as in the authors' code: a game without norms may not recover from others.

Parity tests copy weights, so they cannot see how weights begin. Here the initialisers that a shipped config calls are
asked for weights of their own shapes, whose deviation is compared with the authors' formula for the authors' shape.
"""

import functools
from unittest import mock

import flax.linen as nn
import jax
import numpy as np
import pytest

from gan_jax import config as config_lib
from gan_jax import runs
from gan_jax.runs import entering


@functools.cache
def initialisers(row, number):
  """{path of a parameter: (its initialiser, what that is given behind the key)} of a stage of a config."""
  found, original = {}, nn.Module.param

  def spied(self, name, init_fn, *args, **kwargs):
    found['.'.join((*self.path, name))] = init_fn, args
    return original(self, name, init_fn, *args, **kwargs)

  stage = runs.stages_of(config_lib.load(row))[number]
  with mock.patch.object(nn.Module, 'param', spied):
    jax.eval_shape(functools.partial(entering.new_state, stage), jax.random.key(0))
  return found


def first(row, path, number):
  found = initialisers(row, number)
  assert path in found, sorted(found)
  init, args = found[path]
  return np.asarray(init(jax.random.key(1), *args))


# The authors' initialisers, as deviations.
uniform = lambda limit: limit / 3**0.5
xavier = lambda inputs, outputs, places=1: (2 / (places * (inputs + outputs))) ** 0.5  # Glorot's, of both fans
torch_default = lambda inputs: uniform(inputs**-0.5)  # PyTorch's and Torch's layers: within 1 / sqrt(inputs)
CUT = 0.8796  # what is left of a normal deviation that is cut at 2 deviations and not widened, as TensorFlow does

#: (config, stage, parameter, the authors' deviation)
ROWS = [
  # mingyuliutw/CoGAN, `init.py`: Xavier's uniform weights times sqrt(2); the dense layer is a convolution over 4x4.
  ('cogan.py:edges', 0, 'discriminator.first_a.kernel', 2**0.5 * xavier(1, 20, 25)),
  ('cogan.py:edges', 0, 'discriminator.second.kernel', 2**0.5 * xavier(20, 50, 25)),
  ('cogan.py:edges', 0, 'discriminator.hidden.kernel', 2**0.5 * xavier(50, 500, 16)),
  ('cogan.py:edges', 0, 'discriminator.real.kernel', 2**0.5 * xavier(500, 2)),
  ('cogan.py:edges', 0, 'generator.image_a.kernel', 2**0.5 * xavier(128, 1, 36)),
  ('cogan.py:edges', 0, 'generator.Dense_0.kernel', 2**0.5 * xavier(100, 1024, 16)),
  # vivkul/MAD-GAN_synthetic, `utils.py`: Xavier's normal weights, transposed convolutions by their outputs alone.
  ('madgan.py:line', 0, 'discriminator.Dense_0.kernel', xavier(1, 128)),
  ('madgan.py:mnist', 0, 'generator_trunk.ConvTranspose_0.kernel', (25 * 32) ** -0.5),
  ('madgan.py:mnist', 0, 'generator_heads.network.ConvTranspose_0.kernel', 1 / 5),
  ('madgan.py:mnist', 0, 'discriminator.Conv_0.kernel', xavier(1, 32, 25)),
  ('madgan.py:mnist', 0, 'discriminator.Dense_0.kernel', xavier(7 * 7 * 64, 5)),
  # igul222/improved_wgan_training, `tflib/ops`: 4 / fans for convolutions, a stride of 2 shares one of them by 4.
  ('wgan_gp.py:mnist', 0, 'generator.project.kernel', xavier(128, 4 * 4 * 128)),
  ('wgan_gp.py:mnist', 0, 'generator.ConvTranspose_2.kernel', (4 / (16 * (32 / 4 + 1))) ** 0.5),
  ('wgan_gp.py:mnist', 0, 'discriminator.Conv_0.kernel', (4 / (16 * (1 + 32 / 4))) ** 0.5),
  ('wgan_gp.py:mnist', 0, 'discriminator.Dense_0.kernel', xavier(4 * 4 * 128, 1)),
  ('dragan.py:mnist', 0, 'discriminator.Conv_1.kernel', (4 / (16 * (32 + 64 / 4))) ** 0.5),
  # facebook/eyescream: normal weights in the networks of 8 pixels, Torch's own above.
  ('lapgan.py:cifar10', 0, 'generators_0.Dense_0.kernel', 0.05),
  ('lapgan.py:cifar10', 0, 'discriminators_0.Dense_0.kernel', 0.005),
  ('lapgan.py:cifar10_classes', 0, 'generators_0.Dense_0.kernel', torch_default(110)),
  ('lapgan.py:cifar10_classes', 0, 'discriminators_0.Dense_0.kernel', torch_default(8 * 8 * 3 + 10)),
  ('lapgan.py:cifar10', 1, 'generators_1.Conv_0.kernel', torch_default(49 * 4)),
  # yunjey/stargan: PyTorch's own.
  ('stargan.py:celeba', 0, 'discriminator.conv_0.kernel', torch_default(16 * 3)),
  ('stargan.py:celeba', 0, 'discriminator.conv_3.kernel', torch_default(16 * 256)),
  ('stargan.py:celeba', 0, 'discriminator.patches.kernel', torch_default(9 * 2048)),
  # iDurugkar/GMAN, `helper.py`: cut at 2 deviations.
  ('gman.py:mnist', 0, 'discriminators.network.Conv_1.kernel', 0.02 * CUT),
  # openai/improved-gan and zhenxuan00/triple-gan.
  ('semi_supervised.py:mnist', 0, 'discriminator.Dense_0.weights.kernel', 0.1),
  ('triple.py:mnist', 1, 'classifier.Conv_0.kernel', 0.05),
  ('triple.py:mnist', 1, 'classifier.Dense_0.kernel', 0.01),
  # olofmogren/c-rnn-gan: TensorFlow's default, Glorot's, uniform, of one kernel of inputs and state to 4 gates.
  ('crnngan.py:digits', 1, 'generator.stack.lstm_0.hf.kernel', xavier(32 + 32, 4 * 32)),
  ('crnngan.py:digits', 1, 'discriminator.forward.lstm_0.hf.kernel', xavier(4 + 32, 4 * 32)),
  # goodfeli/adversarial, `mnist.yaml`.
  ('gan.py:mnist', 0, 'generator.Dense_0.kernel', uniform(0.05)),
  ('gan.py:mnist', 0, 'discriminator.Maxout_0.Dense_0.kernel', uniform(0.005)),
  # openai/InfoGAN and Newmu/dcgan_code.
  ('infogan.py:mnist', 0, 'discriminator.q_digit.kernel', 0.02),
  ('infogan.py:mnist', 0, 'generator.project.kernel', 0.02),
  ('cdcgan.py:mnist', 0, 'discriminator.Conv_0.kernel', 0.02),
  ('cdcgan.py:mnist', 0, 'discriminator.Dense_1.kernel', 0.02),
  ('cdcgan.py:mnist', 0, 'generator.ConvTranspose_1.kernel', 0.02),
  ('dcgan.py:paper', 0, 'discriminator.Conv_3.kernel', 0.02),
  ('dcgan.py:paper', 0, 'generator.ConvTranspose_0.kernel', 0.02),
  # brownvc/R3GAN: He's by the fan of a group, times blocks^(-1/4), of which 32 pixels have 8; the last of a block at 0.
  ('r3gan.py:cifar10', 0, 'generator.block0_0.conv1.kernel', (2 / 1.04 / 768) ** 0.5 * 8**-0.25),
]


@pytest.mark.parametrize(
  ('row', 'number', 'path', 'deviation'), ROWS, ids=lambda x: str(x) if isinstance(x, str) else ''
)
def test_weights_begin_as_the_authors(row, number, path, deviation):
  weights = first(f'configs/{row}', path, number)
  # An estimate of a deviation from n numbers errs by about 1 / sqrt(2 n) of it.
  np.testing.assert_allclose(weights.std(), deviation, rtol=0.01 + 4 / (2 * weights.size) ** 0.5)
  assert abs(weights.mean()) < 4 * deviation / weights.size**0.5 + 1e-6
