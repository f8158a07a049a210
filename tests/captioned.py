"""Scikit-learn's digits with captions and embeddings: what stands in for folders that are not on this machine."""

import numpy as np

from gan_jax.data.sources.base import Table

NAMES = ('zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine')


def source(stream):
  """As many embeddings, of as many numbers, as the stream's columns ask for; one caption where they ask for one."""
  from sklearn.datasets import load_digits

  digits = load_digits()
  labels = digits.target
  one = any(column.get('captions') == 1 for column in stream.columns.values() if column['name'] == 'Text')
  settings = dict(stream.columns.get('embedding', {}))
  vectors = np.random.RandomState(0).standard_normal((10, settings.get('captions', 1), settings.get('size', 1) or 1))
  others = [(column.get('column', name), column) for name, column in stream.columns.items()]
  return Table(
    {
      **{name: labels % column['classes'] for name, column in others if column['name'] == 'Label'},
      'image': (digits.images * 15.9375).astype(np.uint8)[..., None],
      'label': labels,
      'text': [[f'the digit {NAMES[label]}', f'a {NAMES[label]} by hand'][: 1 if one else 2] for label in labels],
      'embedding': vectors.astype(np.float32)[labels],
    }
  )
