"""The order of a picture's axes: JAX's, with channels last."""

from collections.abc import Sequence

from gan_jax.base.errors import UserError

#: Channels of a picture, at most.
COLOURS = 4


def check_channels_last(shape: Sequence[int]) -> None:
  """Raises a UserError for the shape of pictures (B, C, H, W), PyTorch's order, by their counts.

  >>> check_channels_last((2, 32, 32, 3))
  """
  if shape[1] <= COLOURS < shape[3]:
    raise UserError(f'pictures {tuple(shape)} look like (B, C, H, W): put channels last, x.transpose(0, 2, 3, 1)')
