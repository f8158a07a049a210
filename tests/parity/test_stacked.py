"""Stacked GAN's networks against PyTorch, wired as the authors' Lasagne layers."""

import flax.traverse_util
import jax
import numpy as np
import torch
import torch.nn.functional as F

from gan_jax.nets import stacked

RANDOM = np.random.RandomState(0)
BATCH = 4


def lrelu(x):
  return torch.maximum(x, 0.2 * x)


class Weights:
  """{path: tensor}, kernels as PyTorch lays them out."""

  def __init__(self, params):
    self.of = {}
    for path, value in flax.traverse_util.flatten_dict(params, sep='/').items():
      value = np.array(value)
      self.of[path] = torch.tensor(value.transpose(3, 2, 0, 1) if value.ndim == 4 else value)

  def dense(self, x, name):
    bias = self.of.get(f'{name}/bias')
    return x @ self.of[f'{name}/kernel'] + (0 if bias is None else bias)

  def batch_norm(self, x, number):
    name = f'BatchNorm_{number}/norm'
    return F.batch_norm(x, None, None, self.of[f'{name}/scale'], self.of[f'{name}/bias'], training=True, eps=1e-6)


def enc_fc3(w, x):
  for i in range(2):
    x = F.max_pool2d(F.relu(F.conv2d(x, w.of[f'Conv_{i}/kernel'], w.of[f'Conv_{i}/bias'])), 2)
  return F.relu(w.dense(x.permute(0, 2, 3, 1).flatten(1), 'Dense_0'))


def gen1(w, z1, y_1hot):
  x = torch.cat([z1, y_1hot], 1)
  for i in range(2):
    x = F.relu(w.batch_norm(w.dense(x, f'Dense_{i}'), i))
  return F.relu(w.dense(x, 'Dense_2'))


def gen0(w, z0, fc3, base, width):
  z_embed = F.relu(w.batch_norm(w.dense(z0, 'Dense_0'), 0))
  x = F.relu(w.batch_norm(w.dense(torch.cat([fc3, z_embed], 1), 'Dense_1'), 1))
  x = x.reshape(-1, base, base, width).permute(0, 3, 1, 2)
  for i, (stride, padding) in enumerate([(2, 'half'), (1, 'valid'), (2, 'half'), (1, 'valid')]):
    kernel, bias = w.of[f'ConvTranspose_{i}/kernel'], w.of.get(f'ConvTranspose_{i}/bias')
    if padding == 'half':  # of stride 2: our windows lie one pixel further up and left, where the size is even
      x = F.conv_transpose2d(x, kernel, bias, stride, padding=1)[:, :, : 2 * x.shape[2], : 2 * x.shape[3]]
    else:
      x = F.conv_transpose2d(x, kernel, bias, stride)
    x = torch.sigmoid(x) if i == 3 else F.relu(w.batch_norm(x, i + 2))
  return x


def disc0(w, x, act=lrelu):
  for i in range(3):
    even = x.shape[2] % 2 == 0
    x = F.pad(x, (1, 2, 1, 2) if even else (2, 2, 2, 2))
    x = lrelu(F.conv2d(x, w.of[f'Conv_{i}/kernel'], w.of[f'Conv_{i}/bias'], stride=2))
  shared = act(w.dense(x.permute(0, 2, 3, 1).flatten(1), 'Dense_0'))
  return w.dense(shared, 'adversarial')[:, 0], torch.sigmoid(w.dense(shared, 'recovered'))


def disc1(w, x, act=lrelu):
  for i in range(2):
    x = act(w.dense(x, f'Dense_{i}'))
  return w.dense(x, 'adversarial')[:, 0], torch.sigmoid(w.dense(x, 'recovered'))


#: Window, stride (0: of 1, without borders) and norm of each convolution of the discriminator of classes.
LAYERS = ((3, 1, False), (3, 2, True), (3, 1, True), (3, 2, True), (3, 0, True), (1, 1, False))


def class_disc(w, x):
  for i, (width, stride, normed) in enumerate(LAYERS):
    if stride == 2:  # of an even size
      x = F.pad(x, (0, 1, 0, 1))
    bias = w.of.get(f'Conv_{i}/bias')
    x = F.conv2d(x, w.of[f'Conv_{i}/kernel'], bias, stride=max(stride, 1), padding=width // 2 if stride == 1 else 0)
    x = lrelu(w.batch_norm(x, i - 1) if normed else x)
  codes = w.dense(x.permute(0, 2, 3, 1).flatten(1), 'recovered')
  return w.dense(x.mean((2, 3)), 'adversarial'), codes


def class_disc1(w, x):
  x = lrelu(w.dense(x, 'Dense_0'))
  x = lrelu(w.batch_norm(w.dense(x, 'Dense_1'), 0))
  return w.dense(x, 'adversarial'), w.dense(x, 'recovered')


def compared(network, wanted, *given, **more):
  rngs = {name: jax.random.key(0) for name in ('params', 'noise', 'dropout')}
  params = jax.jit(lambda: network.init(rngs, *given, train=True, **more))()['params']
  params = jax.tree.map(lambda x: x + 0.2 * RANDOM.standard_normal(x.shape).astype(np.float32), params)
  found = network.apply({'params': params}, *given, train=True, **more, rngs=rngs, mutable=['batch_stats'])[0]
  wanted = wanted(Weights(params))
  for ours, theirs in zip(jax.tree.leaves(found), wanted if isinstance(wanted, tuple) else (wanted,), strict=True):
    theirs = theirs.permute(0, 2, 3, 1) if theirs.ndim == 4 else theirs
    np.testing.assert_allclose(ours, theirs.numpy(), atol=2e-4, rtol=1e-3)
    assert theirs.std() > 1e-3


def test_the_networks_of_mnist_agree():
  real = lambda *shape: RANDOM.uniform(0, 1, (BATCH, *shape)).astype(np.float32)
  image, features, noise, label = real(28, 28, 1), real(12), real(5), np.array([0, 2, 1, 2], np.int32)
  tensor = lambda x: torch.tensor(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)
  one_hot = torch.tensor(np.eye(3, dtype=np.float32)[label])
  compared(stacked.Encoder((4, 6), 5, 12), lambda w: enc_fc3(w, tensor(image)), image)
  compared(stacked.FeatureGenerator(3, (9, 8), 12), lambda w: gen1(w, tensor(noise), one_hot), noise, above=label)
  compared(
    stacked.ImageGenerator((6, 5, 4, 4), widths=(7,)),
    lambda w: gen0(w, tensor(noise), tensor(features), 4, 6),
    noise,
    above=features,
  )
  compared(stacked.ImageDiscriminator((4, 5, 6), 9, 5), lambda w: disc0(w, tensor(image)), image)
  compared(stacked.FeatureDiscriminator((9, 8), 5), lambda w: disc1(w, tensor(features)), features)
  # `mnist/train_joint.py`
  joint = stacked.ImageDiscriminator((4, 5, 6), 9, 5, glorot=True), stacked.FeatureDiscriminator((9, 8), 5, glorot=True)
  compared(joint[0], lambda w: disc0(w, tensor(image), F.relu), image)
  compared(joint[1], lambda w: disc1(w, tensor(features), F.relu), features)


def test_the_discriminators_of_classes_agree():
  image = RANDOM.uniform(0, 1, (BATCH, 12, 12, 3)).astype(np.float32)
  network = stacked.ClassDiscriminator((4, 6), 3, 5, noise=0.0, dropout=0.0)
  compared(network, lambda w: class_disc(w, torch.tensor(image.transpose(0, 3, 1, 2))), image)
  features = RANDOM.uniform(0, 1, (BATCH, 12)).astype(np.float32)
  network = stacked.FeatureDiscriminator((9, 8), 5, outputs=3, noise=1e-8)
  compared(network, lambda w: class_disc1(w, torch.tensor(features)), features)
