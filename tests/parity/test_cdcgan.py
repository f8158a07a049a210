"""Conditional DCGAN's networks in PyTorch, wired as the authors' Theano graphs, from weights as their code saves them.

Source: Newmu/dcgan_code, mnist/train_cond_dcgan.py: `gen_params` and `discrim_params` are lists of arrays in this order
and these layouts. Theano's convolution turns the window round, which cuDNN does for it.
"""

import jax
import numpy as np
import torch
import torch.nn.functional as F

from gan_jax.nets import cdcgan

NZ, NY, NGF, NDF, FC, BATCH = 11, 10, 6, 5, 24, 16
RANDOM = np.random.RandomState(0)


def draw(*shape):
  return (0.2 * RANDOM.randn(*shape)).astype(np.float32)


def batchnorm(x):
  axes = (0, 2, 3) if x.ndim == 4 else (0,)
  mean = x.mean(axes, keepdim=True)
  return (x - mean) / torch.sqrt(torch.square(x - mean).mean(axes, keepdim=True) + 1e-8)


def conv_cond_concat(x, y):
  return torch.cat([x, y[:, :, None, None] * torch.ones(len(x), y.shape[1], *x.shape[2:])], 1)


def conv(x, w):
  return F.conv2d(x, w.flip(2, 3), stride=2, padding=2)


def deconv(x, w):
  """The gradient of `conv` in its input, which is twice as large as x."""
  image = torch.zeros(len(x), w.shape[1], 2 * x.shape[2], 2 * x.shape[3], requires_grad=True)
  return torch.autograd.grad(conv(image, w), image, x)[0]


def gen(z, y, w, w2, w3, wx):
  h = F.relu(batchnorm(torch.cat([z, y], 1) @ w))
  h2 = F.relu(batchnorm(torch.cat([h, y], 1) @ w2)).reshape(-1, 2 * NGF, 7, 7)
  h3 = F.relu(batchnorm(deconv(conv_cond_concat(h2, y), w3)))
  return torch.sigmoid(deconv(conv_cond_concat(h3, y), wx))


def discrim(x, y, w, w2, w3, wy):
  lrelu = lambda x: 0.5 * 1.2 * x + 0.5 * 0.8 * abs(x)
  h = lrelu(conv(conv_cond_concat(x, y), w))
  h2 = lrelu(batchnorm(conv(conv_cond_concat(h, y), w2))).flatten(1)
  h3 = lrelu(batchnorm(torch.cat([h2, y], 1) @ w3))
  return (torch.cat([h3, y], 1) @ wy)[:, 0]  # before the sigmoid


def window(w):
  """(a, b, h, w) as it is saved to (h, w, b, a)."""
  return w[:, :, ::-1, ::-1].transpose(2, 3, 1, 0)


def places_last(w, axis):
  """An axis of (C, 7, 7) to one of (7, 7, C)."""
  w = np.moveaxis(w, axis, -1)
  return np.moveaxis(w.reshape(*w.shape[:-1], -1, 7, 7).transpose(0, 2, 3, 1).reshape(w.shape), -1, axis)


def variables(net, *args, **kernels):
  made = jax.eval_shape(lambda: net.init(jax.random.key(0), *args, train=True, label=np.zeros(2, int)))
  params = {name: {'kernel': kernel} for name, kernel in kernels.items()}
  assert jax.tree.map(lambda x: x.shape, made['params']) == jax.tree.map(np.shape, params)
  return {'params': params, 'batch_stats': jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), made['batch_stats'])}


def test_generator_and_discriminator():
  gw, gw2, gw3, gwx = (
    draw(NZ + NY, FC),
    draw(FC + NY, 2 * NGF * 49),
    draw(2 * NGF + NY, NGF, 5, 5),
    draw(NGF + NY, 1, 5, 5),
  )
  dw, dw2, dw3, dwy = (
    draw(NDF, 1 + NY, 5, 5),
    draw(2 * NDF, NDF + NY, 5, 5),
    draw(2 * NDF * 49 + NY, FC),
    draw(FC + NY, 1),
  )
  z, label = RANDOM.uniform(-1, 1, (BATCH, NZ)).astype(np.float32), RANDOM.randint(0, NY, BATCH)
  y = torch.tensor(np.eye(NY, dtype=np.float32)[label])
  images = gen(torch.tensor(z), y, *map(torch.tensor, (gw, gw2, gw3, gwx)))
  logits = discrim(images, y, *map(torch.tensor, (dw, dw2, dw3, dwy)))

  generator = cdcgan.Generator(NY, FC, (2 * NGF, NGF))
  given = variables(
    generator,
    z[:2],
    Dense_0=gw,
    Dense_1=places_last(gw2, 1),
    ConvTranspose_0=window(gw3),
    ConvTranspose_1=window(gwx),
  )
  made, _ = generator.apply(given, z, train=True, label=label, mutable=['batch_stats'])
  np.testing.assert_allclose(made, images.permute(0, 2, 3, 1), atol=2e-5)

  discriminator = cdcgan.Discriminator(NY, (NDF, 2 * NDF), FC)
  fully = np.concatenate([places_last(dw3[:-NY], 0), dw3[-NY:]])
  given = variables(discriminator, made[:2], Conv_0=window(dw), Conv_1=window(dw2), Dense_0=fully, Dense_1=dwy)
  judged, _ = discriminator.apply(given, made, train=True, label=label, mutable=['batch_stats'])
  np.testing.assert_allclose(judged, logits, atol=2e-4)
