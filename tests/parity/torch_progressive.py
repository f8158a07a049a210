"""Progressive GAN in PyTorch: weights under the names of the authors' TensorFlow variables, layers in its order."""

import math

import torch
import torch.nn.functional as F


def _weight(w, gain):
  return w * (gain / math.sqrt(w[0].numel()))  # (out, in, ...)


def _conv(x, p, name, gain=math.sqrt(2)):
  return F.conv2d(x, _weight(p[f'{name}/weight'], gain), p[f'{name}/bias'], padding=p[f'{name}/weight'].shape[-1] // 2)


def _pixel_norm(x):
  return x * torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def _act(x):
  return F.leaky_relu(x, 0.2)


def _up(x):
  return F.interpolate(x, scale_factor=2)


def generator(p, z, resolution, fade):
  """z (B, n) -> (B, C, resolution, resolution); `fade` None shows the last resolution alone."""
  lod = lambda size: int(math.log2(resolution // size))
  image = lambda x, size: _conv(x, p, f'ToRGB_lod{lod(size)}', gain=1)
  x = _pixel_norm(z) @ _weight(p['4x4/Dense/weight'], math.sqrt(2) / 4).T
  x = x.reshape(len(z), -1, 4, 4) + p['4x4/Dense/bias'][:, None, None]
  x = _pixel_norm(_act(_conv(_pixel_norm(_act(x)), p, '4x4/Conv')))
  before = x
  for size in (8, 16):
    if size <= resolution:
      before = x
      x = _pixel_norm(_act(_conv(_up(x), p, f'{size}x{size}/Conv0_up')))
      x = _pixel_norm(_act(_conv(x, p, f'{size}x{size}/Conv1')))
  new = image(x, resolution)
  return new if fade is None else torch.lerp(_up(image(before, resolution // 2)), new, fade)


def discriminator(p, images, resolution, fade, pool_last=False):
  """(B, C, resolution, resolution) -> (B,); `pool_last` as in the Theano code: Conv2DLayer, Downscale2DLayer."""
  lod = lambda size: int(math.log2(resolution // size))
  features = lambda x, size: _act(_conv(x, p, f'FromRGB_lod{lod(size)}'))
  x = features(images, resolution)
  for size in (16, 8):
    if size <= resolution:
      x = _act(_conv(x, p, f'{size}x{size}/Conv0'))
      x = _conv(x, p, f'{size}x{size}/Conv1_down')
      x = F.avg_pool2d(_act(x), 2) if pool_last else _act(F.avg_pool2d(x, 2))
      if size == resolution and fade is not None:
        x = torch.lerp(features(F.avg_pool2d(images, 2), size // 2), x, fade)
  y = x.reshape(4, -1, *x.shape[1:])
  y = (y - y.mean(0, keepdim=True)).square().mean(0).add(1e-8).sqrt().mean((1, 2, 3))
  x = torch.cat([x, y.repeat(4)[:, None, None, None].expand(-1, 1, 4, 4)], 1)
  x = _act(_conv(x, p, '4x4/Conv')).flatten(1)
  x = _act(F.linear(x, _weight(p['4x4/Dense0/weight'], math.sqrt(2)), p['4x4/Dense0/bias']))
  return F.linear(x, _weight(p['4x4/Dense1/weight'], 1), p['4x4/Dense1/bias'])[:, 0]


def discriminator_loss(g, d, z, reals, factors, resolution, fade, target, pool_last=False):
  """`D_wgangp_acgan` without labels, on data that `process_reals` mixes."""
  if fade is not None:
    reals = torch.lerp(_up(F.avg_pool2d(reals, 2)), reals, fade)
  fakes = generator(g, z, resolution, fade)
  judged = lambda images: discriminator(d, images, resolution, fade, pool_last)
  real_scores, fake_scores = judged(reals), judged(fakes)
  mixed = torch.lerp(reals, fakes, factors).requires_grad_()
  (gradients,) = torch.autograd.grad(judged(mixed).sum(), mixed, create_graph=True)
  norms = gradients.square().sum((1, 2, 3)).sqrt()
  loss = fake_scores - real_scores + (norms - target).square() * (10 / target**2) + 0.001 * real_scores.square()
  return loss.mean()
