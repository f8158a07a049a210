"""The layers of the published Inception-v3 and weights drawn for them, written down apart from the network.

Source: Szegedy et al. 2015, https://arxiv.org/abs/1512.00567, and the names of the published PyTorch weights.
"""

import numpy as np


def block_a(inputs, pool):
  return {
    'branch1x1': (inputs, 64, 1, 1),
    'branch5x5_1': (inputs, 48, 1, 1),
    'branch5x5_2': (48, 64, 5, 5),
    'branch3x3dbl_1': (inputs, 64, 1, 1),
    'branch3x3dbl_2': (64, 96, 3, 3),
    'branch3x3dbl_3': (96, 96, 3, 3),
    'branch_pool': (inputs, pool, 1, 1),
  }


def block_c(width):
  return {
    'branch1x1': (768, 192, 1, 1),
    'branch7x7_1': (768, width, 1, 1),
    'branch7x7_2': (width, width, 1, 7),
    'branch7x7_3': (width, 192, 7, 1),
    'branch7x7dbl_1': (768, width, 1, 1),
    'branch7x7dbl_2': (width, width, 7, 1),
    'branch7x7dbl_3': (width, width, 1, 7),
    'branch7x7dbl_4': (width, width, 7, 1),
    'branch7x7dbl_5': (width, 192, 1, 7),
    'branch_pool': (768, 192, 1, 1),
  }


def block_e(inputs):
  return {
    'branch1x1': (inputs, 320, 1, 1),
    'branch3x3_1': (inputs, 384, 1, 1),
    'branch3x3_2a': (384, 384, 1, 3),
    'branch3x3_2b': (384, 384, 3, 1),
    'branch3x3dbl_1': (inputs, 448, 1, 1),
    'branch3x3dbl_2': (448, 384, 3, 3),
    'branch3x3dbl_3a': (384, 384, 1, 3),
    'branch3x3dbl_3b': (384, 384, 3, 1),
    'branch_pool': (inputs, 192, 1, 1),
  }


BLOCKS = {
  'Mixed_5b': block_a(192, 32),
  'Mixed_5c': block_a(256, 64),
  'Mixed_5d': block_a(288, 64),
  'Mixed_6a': {
    'branch3x3': (288, 384, 3, 3),
    'branch3x3dbl_1': (288, 64, 1, 1),
    'branch3x3dbl_2': (64, 96, 3, 3),
    'branch3x3dbl_3': (96, 96, 3, 3),
  },
  'Mixed_6b': block_c(128),
  'Mixed_6c': block_c(160),
  'Mixed_6d': block_c(160),
  'Mixed_6e': block_c(192),
  'Mixed_7a': {
    'branch3x3_1': (768, 192, 1, 1),
    'branch3x3_2': (192, 320, 3, 3),
    'branch7x7x3_1': (768, 192, 1, 1),
    'branch7x7x3_2': (192, 192, 1, 7),
    'branch7x7x3_3': (192, 192, 7, 1),
    'branch7x7x3_4': (192, 192, 3, 3),
  },
  'Mixed_7b': block_e(1280),
  'Mixed_7c': block_e(2048),
}
# name -> (input channels, output channels, height, width)
CONVOLUTIONS = {
  'Conv2d_1a_3x3': (3, 32, 3, 3),
  'Conv2d_2a_3x3': (32, 32, 3, 3),
  'Conv2d_2b_3x3': (32, 64, 3, 3),
  'Conv2d_3b_1x1': (64, 80, 1, 1),
  'Conv2d_4a_3x3': (80, 192, 3, 3),
  **{f'{block}.{name}': layer for block, layers in BLOCKS.items() for name, layer in layers.items()},
}


def drawn(seed: int = 0) -> dict[str, np.ndarray]:
  """A state dict in PyTorch's names and axes: He's scale, and batch-norm statistics that keep activations near 1."""
  random = np.random.RandomState(seed)
  state = {}
  for name, (inputs, outputs, height, width) in CONVOLUTIONS.items():
    kernel = random.randn(outputs, inputs, height, width) * np.sqrt(2 / (inputs * height * width))
    state[f'{name}.conv.weight'] = kernel
    state[f'{name}.bn.weight'] = random.uniform(0.8, 1.2, outputs)
    state[f'{name}.bn.bias'] = 0.2 * random.randn(outputs)
    state[f'{name}.bn.running_mean'] = 0.2 * random.randn(outputs)
    state[f'{name}.bn.running_var'] = random.uniform(0.6, 1.4, outputs)
  state['fc.weight'] = random.randn(1008, 2048) / np.sqrt(2048)
  state['fc.bias'] = random.randn(1008)
  return {name: array.astype(np.float32) for name, array in state.items()}


def pictures() -> np.ndarray:
  """Two pictures uint8 (2, 20, 37, 3)."""
  return np.random.RandomState(1).randint(0, 256, (2, 20, 37, 3)).astype(np.uint8)
