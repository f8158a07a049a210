"""LAPGAN's networks against PyTorch, layer by layer as the authors' code adds them, and its enlargement."""

import jax
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gan_jax.nets import lapgan, mlp
from gan_jax.nets.layers.resample import enlarge

RANDOM = np.random.RandomState(0)


def to_torch(x):
  return torch.tensor(x.transpose(0, 3, 1, 2))


def taken(layers, params, chw=()):
  """Our parameters in the layers of a Sequential that have some, in order; `chw` orders a flattened map's rows."""
  ours = [params[name] for name in sorted(params, key=lambda name: (name.startswith('Dense'), name))]
  for layer, own in zip([layer for layer in layers if hasattr(layer, 'weight')], ours, strict=True):
    kernel = np.asarray(own['kernel'])
    if kernel.ndim == 4:
      weight = kernel.transpose(3, 2, 0, 1)
    elif chw:
      weight = kernel.T.reshape(-1, *chw).transpose(0, 3, 1, 2).reshape(kernel.shape[1], -1)
    else:
      weight = kernel.T
    layer.weight.data = torch.tensor(np.array(weight))
    layer.bias.data = torch.tensor(np.array(own['bias']))


def moved(params):
  return jax.tree.map(lambda x: x + 0.1 * RANDOM.standard_normal(x.shape).astype(np.float32), params)


def test_the_generator_of_details():
  coarse, noise = (RANDOM.uniform(-1, 1, (2, 12, 12, c)).astype(np.float32) for c in (3, 1))
  model_g = nn.Sequential(
    nn.Conv2d(4, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 6, 7, padding=3), nn.ReLU(), nn.Conv2d(6, 3, 5, padding=2)
  )
  ours = lapgan.Generator((8, 6))
  params = moved(ours.init(jax.random.key(0), noise, train=True, coarse=coarse)['params'])
  taken(model_g, params)
  wanted = model_g(torch.cat([to_torch(noise), to_torch(coarse)], 1)).detach().numpy().transpose(0, 2, 3, 1)
  found = ours.apply({'params': params}, noise, train=True, coarse=coarse)
  np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(('size', 'kernel'), [(32, 5), (16, 5), (14, 5), (28, 5), (8, 3), (9, 3), (13, 7)])
def test_the_discriminator_of_details(size, kernel):
  coarse, details = (RANDOM.uniform(-1, 1, (2, size, size, 3)).astype(np.float32) for _ in range(2))
  height = (size - kernel + 1 - kernel) // 2 + 1  # as in their code
  model_d = nn.Sequential(
    nn.Conv2d(3, 4, kernel), nn.ReLU(), nn.Conv2d(4, 5, kernel, 2), nn.Flatten(), nn.ReLU(), nn.Dropout(),
    nn.Linear(5 * height * height, 1),
  ).eval()  # fmt: skip
  ours = lapgan.Discriminator((4, 5), kernel)
  params = moved(ours.init(jax.random.key(0), details, train=False, coarse=coarse)['params'])
  taken(model_d, params, (height, height, 5))
  wanted = model_d(to_torch(details) + to_torch(coarse))[:, 0].detach().numpy()
  np.testing.assert_allclose(ours.apply({'params': params}, details, train=False, coarse=coarse), wanted, atol=1e-5)


def with_classes(ours, inputs):
  """(parameters without the map of classes; all; the classes; their map, which the authors join to the others)."""
  label = np.array([2, 0])
  params = moved(ours.init(jax.random.key(0), *inputs[:1], train=False, coarse=inputs[1], label=label)['params'])
  size, class_map = inputs[1].shape[1], nn.Linear(4, inputs[1].shape[1] ** 2)
  taken([class_map], {'map': params['class_map']})
  known = torch.nn.functional.one_hot(torch.tensor(label), 4).float()
  rest = {k: v for k, v in params.items() if k != 'class_map'}
  return rest, params, label, F.relu(class_map(known)).view(-1, 1, size, size)


def test_the_generator_of_details_with_classes():
  coarse, noise = (RANDOM.uniform(-1, 1, (2, 12, 12, c)).astype(np.float32) for c in (3, 1))
  model_g = nn.Sequential(
    nn.Conv2d(5, 8, 7, padding=3), nn.ReLU(), nn.Conv2d(8, 6, 7, padding=3), nn.ReLU(), nn.Conv2d(6, 3, 5, padding=2)
  )
  ours = lapgan.Generator((8, 6), classes=4)
  own, params, label, known = with_classes(ours, (noise, coarse))
  taken(model_g, own)
  wanted = model_g(torch.cat([to_torch(noise), known, to_torch(coarse)], 1)).detach().numpy().transpose(0, 2, 3, 1)
  found = ours.apply({'params': params}, noise, train=True, coarse=coarse, label=label)
  np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_discriminator_of_details_with_classes():
  coarse, details = (RANDOM.uniform(-1, 1, (2, 16, 16, 3)).astype(np.float32) for _ in range(2))
  model_d = nn.Sequential(
    nn.Conv2d(4, 4, 5), nn.ReLU(), nn.Conv2d(4, 5, 5, 2), nn.Flatten(), nn.ReLU(), nn.Dropout(), nn.Linear(5 * 16, 1)
  ).eval()
  ours = lapgan.Discriminator((4, 5), classes=4)
  own, params, label, known = with_classes(ours, (details, coarse))
  taken(model_d, own, (4, 4, 5))
  wanted = model_d(torch.cat([to_torch(details) + to_torch(coarse), known], 1))[:, 0].detach().numpy()
  found = ours.apply({'params': params}, details, train=False, coarse=coarse, label=label)
  np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_the_coarse_networks_with_classes():
  image, z, label = (
    RANDOM.uniform(-1, 1, (2, 4, 4, 2)).astype(np.float32),
    RANDOM.randn(2, 5).astype(np.float32),
    [1, 2],
  )
  known = torch.nn.functional.one_hot(torch.tensor(label), 3).float()
  label = np.array(label)
  model_d = nn.Sequential(nn.Linear(35, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 1)).eval()
  model_g = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 32))
  judge, maker = lapgan.CoarseDiscriminator((7, 6), classes=3), mlp.Generator((7, 6), (4, 4, 2), 'identity', classes=3)
  for ours, theirs, x in ((judge, model_d, image), (maker, model_g, z)):
    params = moved(ours.init(jax.random.key(0), x, train=False, label=label)['params'])
    taken(theirs, params)
    wanted = theirs(torch.cat([torch.tensor(x.reshape(2, -1)), known], 1)).detach().numpy()
    found = ours.apply({'params': params}, x, train=False, label=label)
    np.testing.assert_allclose(np.asarray(found).reshape(2, -1), wanted, atol=1e-5)


def test_the_coarse_discriminator():
  image = RANDOM.uniform(-1, 1, (3, 4, 4, 2)).astype(np.float32)
  model_d = nn.Sequential(nn.Linear(32, 7), nn.ReLU(), nn.Dropout(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 1)).eval()
  ours = lapgan.CoarseDiscriminator((7, 6))
  params = moved(ours.init(jax.random.key(0), image, train=False)['params'])
  taken(model_d, params)
  wanted = model_d(torch.tensor(image.reshape(3, -1)))[:, 0].detach().numpy()
  np.testing.assert_allclose(ours.apply({'params': params}, image, train=False), wanted, atol=1e-5)


def test_enlarging_is_bilinear():
  image = RANDOM.uniform(-1, 1, (2, 5, 7, 3)).astype(np.float32)
  wanted = F.interpolate(to_torch(image), scale_factor=2, mode='bilinear', align_corners=False)
  np.testing.assert_allclose(enlarge(image), wanted.numpy().transpose(0, 2, 3, 1), atol=1e-6)
