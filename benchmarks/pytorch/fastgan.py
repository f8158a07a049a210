"""FastGAN's networks for 256 pixels in PyTorch, under the names of the authors' modules and in their wiring."""

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import spectral_norm

GENERATOR = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25}
DISCRIMINATOR = {**GENERATOR, 8: 16, 16: 8, 32: 4}


def conv(inputs, outputs, window, stride=1, padding=0):
  return spectral_norm(nn.Conv2d(inputs, outputs, window, stride, padding, bias=False))


class GLU(nn.Module):
  def forward(self, x):
    return functional.glu(x, 1)


class Noise(nn.Module):
  def __init__(self):
    super().__init__()
    self.weight, self.draw = nn.Parameter(torch.zeros(1)), torch.randn

  def forward(self, x):
    return x + self.weight * self.draw(len(x), 1, *x.shape[2:])


class Squeeze(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    self.main = nn.Sequential(
      nn.AdaptiveAvgPool2d(4), conv(inputs, outputs, 4), nn.SiLU(), conv(outputs, outputs, 1), nn.Sigmoid()
    )

  def forward(self, small, large):
    return large * self.main(small)


class Init(nn.Module):
  def __init__(self, latents, width):
    super().__init__()
    transposed = spectral_norm(nn.ConvTranspose2d(latents, 2 * width, 4, 1, 0, bias=False))
    self.init = nn.Sequential(transposed, nn.BatchNorm2d(2 * width), GLU())

  def forward(self, z):
    return self.init(z[:, :, None, None])


def up(inputs, outputs):
  return nn.Sequential(
    nn.Upsample(scale_factor=2), conv(inputs, 2 * outputs, 3, 1, 1), nn.BatchNorm2d(2 * outputs), GLU()
  )


def up_noisy(inputs, outputs):
  return nn.Sequential(
    nn.Upsample(scale_factor=2), conv(inputs, 2 * outputs, 3, 1, 1), Noise(), nn.BatchNorm2d(2 * outputs), GLU(),
    conv(outputs, 2 * outputs, 3, 1, 1), Noise(), nn.BatchNorm2d(2 * outputs), GLU(),
  )  # fmt: skip


class Generator(nn.Module):
  def __init__(self, ngf, latents):
    super().__init__()
    n = {size: int(times * ngf) for size, times in GENERATOR.items()}
    self.init = Init(latents, n[4])
    self.feat_8, self.feat_16, self.feat_32 = up_noisy(n[4], n[8]), up(n[8], n[16]), up_noisy(n[16], n[32])
    self.feat_64, self.feat_128, self.feat_256 = up(n[32], n[64]), up_noisy(n[64], n[128]), up(n[128], n[256])
    self.se_64, self.se_128, self.se_256 = Squeeze(n[4], n[64]), Squeeze(n[8], n[128]), Squeeze(n[16], n[256])
    self.to_128, self.to_big = conv(n[128], 3, 1), conv(n[256], 3, 3, 1, 1)

  def forward(self, z):
    x4 = self.init(z)
    x8 = self.feat_8(x4)
    x16 = self.feat_16(x8)
    x64 = self.se_64(x4, self.feat_64(self.feat_32(x16)))
    x128 = self.se_128(x8, self.feat_128(x64))
    x256 = self.se_256(x16, self.feat_256(x128))
    return torch.tanh(self.to_big(x256)), torch.tanh(self.to_128(x128))


class Down(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    self.main = nn.Sequential(conv(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2))

  def forward(self, x):
    return self.main(x)


class DownBeside(nn.Module):
  def __init__(self, inputs, outputs):
    super().__init__()
    leaky = nn.LeakyReLU(0.2)
    self.main = nn.Sequential(
      conv(inputs, outputs, 4, 2, 1), nn.BatchNorm2d(outputs), leaky, conv(outputs, outputs, 3, 1, 1),
      nn.BatchNorm2d(outputs), leaky,
    )  # fmt: skip
    self.direct = nn.Sequential(nn.AvgPool2d(2), conv(inputs, outputs, 1), nn.BatchNorm2d(outputs), leaky)

  def forward(self, x):
    return (self.main(x) + self.direct(x)) / 2


class Decoder(nn.Module):
  def __init__(self, inputs, unit):
    super().__init__()
    n = {size: int(times * unit) for size, times in GENERATOR.items()}
    self.main = nn.Sequential(
      nn.AdaptiveAvgPool2d(8), up(inputs, n[16]), up(n[16], n[32]), up(n[32], n[64]), up(n[64], n[128]),
      conv(n[128], 3, 3, 1, 1), nn.Tanh(),
    )  # fmt: skip

  def forward(self, x):
    return self.main(x)


class Discriminator(nn.Module):
  def __init__(self, ndf, unit):
    super().__init__()
    n = {size: int(times * ndf) for size, times in DISCRIMINATOR.items()}
    leaky = nn.LeakyReLU(0.2)
    self.down_from_big = nn.Sequential(conv(3, n[512], 3, 1, 1), leaky)
    self.down_4, self.down_8, self.down_16 = (
      DownBeside(n[512], n[256]),
      DownBeside(n[256], n[128]),
      DownBeside(n[128], n[64]),
    )
    self.down_32, self.down_64 = DownBeside(n[64], n[32]), DownBeside(n[32], n[16])
    self.rf_big = nn.Sequential(conv(n[16], n[8], 1), nn.BatchNorm2d(n[8]), leaky, conv(n[8], 1, 4))
    self.se_2_16, self.se_4_32, self.se_8_64 = Squeeze(n[512], n[64]), Squeeze(n[256], n[32]), Squeeze(n[128], n[16])
    self.down_from_small = nn.Sequential(
      conv(3, n[256], 4, 2, 1), leaky, Down(n[256], n[128]), Down(n[128], n[64]), Down(n[64], n[32])
    )
    self.rf_small = conv(n[32], 1, 4)
    self.decoder_big, self.decoder_part, self.decoder_small = (Decoder(n[k], unit) for k in (16, 32, 32))

  def forward(self, image, small, part=None):
    x2 = self.down_from_big(image)
    x4 = self.down_4(x2)
    x8 = self.down_8(x4)
    x16 = self.se_2_16(x2, self.down_16(x8))
    x32 = self.se_4_32(x4, self.down_32(x16))
    last = self.se_8_64(x8, self.down_64(x32))
    y = self.down_from_small(small)
    found = self.rf_big(last), self.rf_small(y)
    if part is None:
      return found
    rows, columns = [(slice(0, 8), slice(8, 16))[i] for i in divmod(part, 2)]
    return found, (self.decoder_big(last), self.decoder_small(y), self.decoder_part(x32[:, :, rows, columns]))
