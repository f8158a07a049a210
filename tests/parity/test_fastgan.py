"""FastGAN's networks for 256 pixels against PyTorch, with weights in the layout that the authors' code writes."""

import jax
import numpy as np
import torch

from benchmarks.pytorch import fastgan as torch_fastgan
from gan_jax.nets import fastgan
from gan_jax.nets.published import fastgan as published

RANDOM = np.random.RandomState(0)
LATENTS, CHANNELS, HIDDEN = 12, 8, 8
KEYS = {'params': jax.random.key(0), 'noise': jax.random.key(1)}


def settled(module, *given):
  """The module in eval mode with its largest singular vectors, and its state dict."""
  for value in module.parameters():
    noise = torch.tensor(RANDOM.standard_normal(value.shape).astype(np.float32))
    value.data = 0.3 * noise + (value.ndim == 1) if value.numel() > 1 else torch.zeros(1)
  with torch.no_grad():
    module(*given)  # statistics of batch norm
  for layer in module.modules():
    if hasattr(layer, 'weight_orig'):
      axis = int(isinstance(layer, torch.nn.ConvTranspose2d))
      u, _, v = np.linalg.svd(np.moveaxis(layer.weight_orig.detach().numpy(), axis, 0).reshape(len(layer.weight_u), -1))
      layer.weight_u.data, layer.weight_v.data = torch.tensor(u[:, 0]), torch.tensor(v[0])
  return module.eval(), {name: value.numpy() for name, value in module.state_dict().items()}


def variables_of(network, tensors, *given, **named):
  like = jax.eval_shape(lambda: network.init(KEYS, *given, train=False, **named))
  return published.variables_of(tensors, like)


def test_the_generator():
  z = RANDOM.standard_normal((4, LATENTS)).astype(np.float32)
  theirs, tensors = settled(torch_fastgan.Generator(CHANNELS, LATENTS), torch.tensor(z))
  network = fastgan.Generator(256, CHANNELS)
  variables = variables_of(network, tensors, z)
  found = network.apply(variables, z, train=False, rngs={'noise': KEYS['noise']})
  with torch.no_grad():
    wanted = theirs(torch.tensor(z))
  for name, other in zip(('image', 'small'), wanted, strict=True):
    np.testing.assert_allclose(found[name], other.permute(0, 2, 3, 1), atol=1e-4)
    assert other.std() > 0.01


def test_the_discriminator_and_its_decoders():
  image = RANDOM.uniform(-1, 1, (2, 256, 256, 3)).astype(np.float32)
  small = fastgan.nearest(image, 128)
  given = [torch.tensor(np.moveaxis(np.asarray(x), -1, 1)) for x in (image, small)]
  theirs, tensors = settled(torch_fastgan.Discriminator(CHANNELS, HIDDEN), *given, 0)
  network = fastgan.Discriminator(256, CHANNELS, HIDDEN)
  images = {'image': image, 'small': small}
  variables = variables_of(network, tensors, images, part=np.int32(0))
  for part in range(4):
    logits, decoded = network.apply(variables, images, train=False, part=np.int32(part))
    with torch.no_grad():
      their_logits, their_images = theirs(*given, part)
    for one, other in zip(logits, their_logits, strict=True):
      np.testing.assert_allclose(one, other[:, 0], atol=1e-4 * max(1, other.abs().max()))
    for name, other in zip(('image', 'small', 'part'), their_images, strict=True):
      np.testing.assert_allclose(decoded[name], other.permute(0, 2, 3, 1), atol=2e-4)
