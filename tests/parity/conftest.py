"""Makes torch_fidelity importable where torchvision is not: it imports it for data sets and networks unused here.

`make test-parity` installs all that these tests need: there, none may be skipped for want of a library. Without PyTorch
none is collected.
"""

import importlib.util
import os
import sys
import types

import pytest

PARTS = {
  'torchvision': {},
  'torchvision.datasets': dict.fromkeys(('CIFAR10', 'CIFAR100', 'STL10'), object),
  'torchvision.transforms': {},
  'torchvision.transforms.functional': {},
}


def import_torch_fidelity() -> None:
  """Imports it, and every module it has with it, while empty stand-ins take torchvision's place."""
  stand_ins = {}
  for name, contents in PARTS.items():
    stand_ins[name] = types.ModuleType(name)
    vars(stand_ins[name]).update(contents)
    parent, _, child = name.rpartition('.')
    if parent:
      setattr(stand_ins[parent], child, stand_ins[name])
  sys.modules.update(stand_ins)
  try:
    import torch_fidelity  # noqa: F401
  finally:
    for name in stand_ins:
      del sys.modules[name]


found = {name: importlib.util.find_spec(name) is not None for name in ('torch', 'torch_fidelity', 'torchvision')}
if found['torch'] and found['torch_fidelity'] and not found['torchvision']:
  import_torch_fidelity()

if not found['torch'] and not os.environ.get('GAN_JAX_PARITY'):
  collect_ignore_glob = ['test_*.py']  # plain `pytest` without the extra

if os.environ.get('GAN_JAX_PARITY'):
  pytest.importorskip = lambda name, **_: importlib.import_module(name)
