"""Networks that translate against PyTorch's, named and wired as the authors', and files that they wrote."""

import json

import jax
import numpy as np
import pytest
import torch
from torch import nn

from benchmarks.pytorch import translation as theirs
from gan_jax import convert, load
from gan_jax.base import command
from gan_jax.base.errors import UserError
from gan_jax.base.torch_file import read_tensors
from gan_jax.nets import published, translation

SIZE = 32
IMAGES = np.random.RandomState(0).uniform(-1, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
UNET = (4, 8, 8, 8)
PAIRS = {
  'resnet': (lambda: theirs.ResnetGenerator(4, 3), translation.ResnetGenerator(4, 3)),
  'resnet, batch norm': (
    lambda: theirs.ResnetGenerator(4, 2, nn.BatchNorm2d),
    translation.ResnetGenerator(4, 2, norm='batch'),
  ),
  'unet': (lambda: theirs.UNet(UNET, 0), translation.UNet(UNET, dropout=0)),
  'patches': (lambda: theirs.PatchGAN(3, 4, 3), translation.PatchGAN(4, 3)),
  'patches, batch norm': (lambda: theirs.PatchGAN(3, 4, 2, nn.BatchNorm2d), translation.PatchGAN(4, 2, norm='batch')),
}


def module_of(make):
  """With weights and statistics moved from where they begin, so that a mistake shows."""
  torch.manual_seed(0)
  module = make()
  for tensor in [*module.parameters(), *module.buffers()]:
    if tensor.dtype == torch.float32:
      tensor.data = tensor + 0.1 * torch.rand_like(tensor)
  return module


def converted(module, network, path):
  torch.save(module.state_dict(), path)
  like = jax.eval_shape(lambda: network.init(jax.random.key(0), IMAGES, train=True))
  return published.cyclegan.variables_of(read_tensors(path), like)


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
@pytest.mark.parametrize('name', PAIRS)
def test_networks_compute_the_same(name, train, tmp_path):
  make, network = PAIRS[name]
  module = module_of(make)
  variables = converted(module, network, tmp_path / 'latest_net_G.pth')
  module.train(train)
  x = torch.from_numpy(np.moveaxis(IMAGES, -1, 1).copy()).requires_grad_()
  y = module(x)
  (y**2).mean().backward()
  value = lambda x: (network.apply(variables, x, train=train, mutable=['batch_stats'])[0] ** 2).mean()
  ours = network.apply(variables, IMAGES, train=train, mutable=['batch_stats'])[0]
  expected = np.moveaxis(y.detach().numpy(), 1, -1)
  np.testing.assert_allclose(ours, expected if ours.ndim == 4 else expected[..., 0], atol=2e-5)
  gradient = np.moveaxis(x.grad.numpy(), 1, -1)
  np.testing.assert_allclose(jax.grad(value)(IMAGES), gradient, atol=2e-5 * np.abs(gradient).max() + 1e-7)


def discogan(widths):
  """The layers of `Generator` and `Discriminator` in SKTBrain/DiscoGAN, `discogan/model.py`, in widths of ours."""
  down, up, judge = [], [], []
  for i, (before, width) in enumerate(zip((3, *widths), widths, strict=False)):
    layers = [nn.Conv2d(before, width, 4, 2, 1, bias=False), *([nn.BatchNorm2d(width)] if i else []), nn.LeakyReLU(0.2)]
    down += layers
    judge += [nn.Conv2d(before, width, 4, 2, 1, bias=False), *layers[1:-1], nn.LeakyReLU(0.2)]
  for before, width in zip(widths[::-1], widths[-2::-1], strict=False):
    up += [nn.ConvTranspose2d(before, width, 4, 2, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
  up += [nn.ConvTranspose2d(widths[0], 3, 4, 2, 1, bias=False), nn.Sigmoid()]
  return nn.Sequential(*down, *up), nn.Sequential(
    *judge, nn.Conv2d(widths[-1], 1, SIZE >> len(widths), 1, 0, bias=False)
  )


@pytest.mark.parametrize('train', [False, True], ids=['eval', 'train'])
def test_discogan_s_networks_compute_the_same(train):
  widths = (4, 8, 16)
  x = torch.from_numpy(np.moveaxis(IMAGES, -1, 1).copy())
  networks = (
    translation.UNet(widths, norm='batch', dropout=0, skips=False, inner_norm=True, output='sigmoid'),
    translation.PatchGAN(4, 3, norm='batch', whole=True),
  )
  for number, network in enumerate(networks):
    module = module_of(lambda number=number: discogan(widths)[number])
    tensors = {name: np.asarray(value) for name, value in module.state_dict().items()}
    like = jax.eval_shape(lambda network=network: network.init(jax.random.key(0), IMAGES, train=True))
    last = max((name for name in tensors if tensors[name].ndim == 4), key=lambda name: int(name.split('.')[0]))
    first = min((name for name in tensors if tensors[name].ndim == 4), key=lambda name: int(name.split('.')[0]))
    if number:  # one logit of the whole picture is a dense layer here
      kernel = tensors.pop(last)
      like = {**like, 'params': {k: v for k, v in like['params'].items() if k != 'logit'}}
      tensors[first.replace('weight', 'bias')] = np.zeros(widths[0], np.float32)  # biases that theirs have not
    else:
      tensors[last.replace('weight', 'bias')] = np.zeros(3, np.float32)
    variables = published.cyclegan.variables_of(tensors, like)
    if number:
      dense = {'kernel': kernel.transpose(2, 3, 1, 0).reshape(-1, 1), 'bias': np.zeros(1, np.float32)}
      variables = {**variables, 'params': {**variables['params'], 'logit': dense}}
    expected = module.train(train)(x).detach().numpy()
    ours = network.apply(variables, IMAGES, train=train, mutable=['batch_stats'])[0]
    expected = expected[:, 0, 0, 0] if number else np.moveaxis(expected, 1, -1)
    np.testing.assert_allclose(ours, expected, atol=2e-5, rtol=1e-4)


def test_a_u_net_of_their_batch_norm_at_a_batch_of_one_is_one_of_instance_norm(tmp_path):
  """What `configs/pix2pix.py` says of their tests, which keep the statistics of the picture."""
  network = translation.UNet(UNET, norm='instance', gain=True, dropout=0)
  module = module_of(PAIRS['unet'][0])
  variables = converted(module, network, tmp_path / 'latest_net_G.pth')
  y = module.train()(torch.from_numpy(np.moveaxis(IMAGES[:1], -1, 1).copy()))
  ours = network.apply(variables, IMAGES[:1], train=False)
  np.testing.assert_allclose(ours, np.moveaxis(y.detach().numpy(), 1, -1), atol=2e-5)


def test_published_files_become_a_run(tmp_path):
  torch.save(module_of(lambda: theirs.ResnetGenerator(4, 1)).state_dict(), tmp_path / 'latest_net_G_A.pth')
  module = module_of(lambda: theirs.ResnetGenerator(4, 1))
  torch.save(module.state_dict(), tmp_path / 'latest_net_G_B.pth')
  files = ','.join(f'generator_{way}={tmp_path}/latest_net_G_{d}.pth' for way, d in (('ab', 'A'), ('ba', 'B')))
  arguments = ['--networks', files, '--layout', 'cyclegan', '--workdir', str(tmp_path / 'run')]
  arguments += ['--config', 'configs/cyclegan.py:digits', '--config.game.generator_ab.channels=4']
  arguments += ['--config.game.generator_ba.channels=4', '--config.game.generator_ab.image_channels=3']
  arguments += [
    '--config.game.generator_ba.image_channels=3',
    '--config.data.a.channels=3',
    '--config.data.b.channels=3',
  ]
  command.main(convert._define, convert._run, convert.__doc__, arguments)
  run = load(tmp_path / 'run')
  x = run.examples('b', n=2)['image']
  expected = module.eval()(torch.from_numpy(np.moveaxis(x, -1, 1).copy())).detach().numpy()
  np.testing.assert_allclose(run.sample(2)['ba'], np.moveaxis(expected, 1, -1), atol=2e-5)
  assert json.loads((tmp_path / 'run' / 'config.json').read_text())['game']['name'] == 'cyclegan.CycleGAN'


def test_other_networks_are_told(tmp_path):
  module = module_of(lambda: theirs.ResnetGenerator(4, 1))
  with pytest.raises(UserError, match=r'the weights have 8 convolutions, the network of the config 10'):
    converted(module, translation.ResnetGenerator(4, 2), tmp_path / 'x.pth')
  with pytest.raises(UserError, match=r'kernel has shape .* in the config, .* there'):
    converted(module, translation.ResnetGenerator(8, 1), tmp_path / 'x.pth')
