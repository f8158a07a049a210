"""The reader of PyTorch files: the values written come back, and nothing in a file is ever run."""

import os
import struct
import zipfile

import numpy as np
import pytest
import torch_writing
from torch_writing import Call, Code, Name, Outside, instructions, legacy, pickled, tensor, zipped

from gan_jax.base.errors import UserError
from gan_jax.base.torch_file import read_tensors

VALUES = np.arange(24, dtype=np.float32)
CONTENTS = {'7': VALUES.tobytes()}
ITEMSIZES = {'7': 4}


def layouts(saved, contents=CONTENTS, itemsizes=ITEMSIZES):
  return {'zip': zipped(saved, contents), 'legacy': legacy(saved, contents, itemsizes)}


def read(tmp_path, content: bytes):
  path = tmp_path / 'weights.pth'
  path.write_bytes(content)
  return read_tensors(path)


both = pytest.mark.parametrize('layout', ['zip', 'legacy'])


@both
def test_shapes_strides_offsets_and_what_is_shared(tmp_path, layout):
  one = lambda *shape_strides_offset: tensor('7', 'f4', 24, *shape_strides_offset)
  parameter = Call(Name('torch._utils', '_rebuild_parameter'), (one((3,), (8,), 1), True, {}))
  saved = {'whole': one((4, 6), (6, 1)), 'turned': one((5, 2), (1, 12), 6), 'scalar': one((), (), 23)}
  saved |= {'inner': {'parameter': parameter, 3: one((2, 2), (0, 0))}, 'none': one((0, 9), (9, 1))}
  saved |= {'epoch': 3, 'rates': [1, 2], 'note': 'text', 'nothing': None}
  found = read(tmp_path, layouts(saved)[layout])
  assert list(found) == ['whole', 'turned', 'scalar', 'inner', 'none']
  np.testing.assert_array_equal(found['whole'], VALUES.reshape(4, 6))
  np.testing.assert_array_equal(found['turned'], [[6, 18], [7, 19], [8, 20], [9, 21], [10, 22]])
  assert found['scalar'].shape == () and found['scalar'] == 23 and found['none'].shape == (0, 9)
  np.testing.assert_array_equal(found['inner']['parameter'], [1, 9, 17])
  np.testing.assert_array_equal(found['inner']['3'], [[0, 0], [0, 0]])
  assert np.shares_memory(found['whole'], found['turned']) and not found['whole'].flags.writeable


@both
def test_a_tensor_with_a_bit_of_a_view_is_refused(tmp_path, layout):
  call = tensor('7', 'f4', 24, (3,), (1,))
  plain, turned = (Call(call.function, (*call.arguments, {**bits})) for bits in ({}, {'neg': True}))
  np.testing.assert_array_equal(read(tmp_path, layouts({'w': plain})[layout])['w'], [0, 1, 2])
  with pytest.raises(UserError, match='negative or conjugate bit'):
    read(tmp_path, layouts({'w': turned})[layout])


@both
def test_types(tmp_path, layout):
  arrays = {dtype: np.array([[1, 0, 1]], dtype) for dtype in torch_writing.STORAGES}
  state, contents = torch_writing.tensors(arrays)
  itemsizes = {str(i): array.itemsize for i, array in enumerate(arrays.values())}
  found = read(tmp_path, layouts(state, contents, itemsizes)[layout])
  for dtype, array in arrays.items():
    assert found[dtype].dtype == array.dtype
    np.testing.assert_array_equal(found[dtype], array)


def test_bfloat16(tmp_path):
  storage = Outside(('storage', Name('torch', 'BFloat16Storage'), '0', 'cuda:0', 2))
  saved = {'x': Call(Name('torch._utils', '_rebuild_tensor'), (storage, 0, (2,), (1,)))}
  found = read(tmp_path, zipped(saved, {'0': bytes([0x80, 0x3F, 0x20, 0xC0])}))  # the upper halves of 1.0 and -2.5
  assert found['x'].astype(np.float32).tolist() == [1.0, -2.5]


def test_a_state_dict_with_attributes_and_memo(tmp_path):
  """An OrderedDict, items one by one, the second fetched from the memo, then BUILD with the versions of its layers."""
  ordered = instructions(Call(Name('collections', 'OrderedDict'), ()))
  first = instructions('a.weight') + instructions(tensor('7', 'f4', 24, (24,), (1,))) + b'q\x05s'
  second = instructions('b.weight') + b'h\x05s'
  state = instructions({'_metadata': {'': {'version': 2}}}) + b'b'
  found = read(tmp_path, zipped(Code(ordered + first + second + state), CONTENTS))
  assert list(found) == ['a.weight', 'b.weight'] and np.shares_memory(*found.values())


@pytest.mark.parametrize(
  ('module', 'name'),
  [('os', 'system'), ('posix', 'system'), ('builtins', 'eval'), ('torch.hub', 'load'), ('torch', 'load'), ('', '')],
)
@both
def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path, layout, module, name):
  path = tmp_path / 'ran'
  with pytest.raises(UserError, match=f'asks for {module}.{name}, which is not read'):
    read(tmp_path, layouts({'x': Call(Name(module, name), (f'touch {path}',))})[layout])
  assert not path.exists()


@both
def test_what_pickles_own_reduce_makes(tmp_path, layout):
  import pickle

  class Hostile:
    def __reduce__(self):
      return os.system, (f'touch {tmp_path}/ran',)

  for protocol in range(6):
    code = pickle.dumps({'x': Hostile()}, protocol)[2 if protocol > 1 else 0 : -1]
    with pytest.raises(UserError):
      read(tmp_path, layouts(Code(code))[layout])
  assert not (tmp_path / 'ran').exists()


TENSOR = tensor('7', 'f4', 24, (2,), (1,))
DEEP = b')' + 300_000 * b'\x85'
SHARED = b')' + 60 * b'q\x00h\x00\x86'
HOSTILE = {
  'a storage called': Call(Name('torch', 'FloatStorage'), (5,)),
  'a name called that is a string': {'x': Call('os.system', ('true',))},
  'a state for a tensor': {'x': Code(instructions(TENSOR) + b'}b')},
  'a state for a function': {'x': Code(instructions(Name('torch._utils', '_rebuild_parameter')) + b'}b')},
  'a class of protocol 0': Code(b'(i' + b'os\nsystem\n'),
  'an object': Code(instructions(Name('collections', 'OrderedDict')) + b')\x81'),
  'an extension': Code(b'\x82\x01'),
  'a module': {'x': Outside(('module', 'torch.nn', 'file.py', 'source'))},
  'a view of a storage': {'x': Outside(('storage', Name('torch', 'FloatStorage'), '7', 'cpu', 24, ('1', 0, 2)))},
  'a key too deep to hash': Code(b'}' + DEEP + b'Ns'),
  'a key too wide to hash': Code(b'}' + SHARED + b'Ns'),
  'a name too wide to print': {'x': Outside(('storage', Code(SHARED), '7', 'cpu', 24))},
  'a tensor of too many axes': {'x': tensor('7', 'f4', 24, (1,) * 1000, (1,) * 1000)},
  'one axis without stride': {'x': tensor('7', 'f4', 24, (1, 1), (1,))},
  'a negative offset': {'x': tensor('7', 'f4', 24, (2,), (1,), -1)},
  'a negative stride': {'x': tensor('7', 'f4', 24, (2,), (-1,), 5)},
  'a negative size': {'x': tensor('7', 'f4', 24, (-2,), (1,))},
  'beyond the end': {'x': tensor('7', 'f4', 24, (5, 5), (5, 1))},
  'an offset beyond the end': {'x': tensor('7', 'f4', 24, (), (), 24)},
  'more than can be addressed': {'x': tensor('7', 'f4', 24, (2**40, 2**40), (0, 0))},
  'an offset of many bits': {'x': tensor('7', 'f4', 24, (1,), (1,), 2**900)},
  'a longer storage': {'x': tensor('7', 'f4', 25, (2,), (1,))},
  'another type': {'x': tensor('7', 'f8', 24, (2,), (1,))},
  'a storage that is not there': {'x': tensor('../7', 'f4', 24, (2,), (1,))},
  'within itself': Code(b'}q\x00' + instructions('x') + b'h\x00s'),
  'very deep': Code(5_000 * (b'}' + instructions('x')) + b'N' + 5_000 * b's'),
  'an empty stack': Code(b'R'),
  'nothing': Code(b''),
  'a mark too few': Code(b'}u'),
  'odd items': Code(b'}(' + instructions('x') + b'u'),
  'an unknown memo': Code(b'h\x09'),
  'a far memo': Code(b'}r' + struct.pack('<I', 2**32 - 1) + b'0'),
  'a string longer than the file': Code(b'X' + struct.pack('<I', 2**32 - 1) + b'x'),
  'an unknown instruction': Code(b'\xff'),
  'a list': [TENSOR],
  'a tensor': TENSOR,
}


@pytest.mark.parametrize('what', HOSTILE)
@both
def test_what_does_not_fit_is_refused(tmp_path, layout, what):
  with pytest.raises(UserError, match=r'weights\.pth (asks for|is damaged)'):
    read(tmp_path, layouts(HOSTILE[what])[layout])


def test_a_dictionary_shared_without_end_is_read_once(tmp_path):
  """Sixty dictionaries, each holding the next twice: 2^60 paths lead to the last."""
  code = b'}q\x00' + b''.join(
    b'}' + instructions('a') + b'h\x00s' + instructions('b') + b'h\x00sq\x00' for _ in range(60)
  )
  found = read(tmp_path, zipped(Code(code), {}))
  assert found['a'] is found['b']


@both
def test_a_file_cut_anywhere_is_refused(tmp_path, layout):
  content = layouts({'x': tensor('7', 'f4', 24, (24,), (1,)), 'y': TENSOR})[layout]
  for stop in range(len(content)):
    with pytest.raises(UserError):
      read(tmp_path, content[:stop])


@both
def test_a_file_with_a_wrong_byte_is_read_or_refused(tmp_path, layout):
  content = bytearray(layouts({'x': tensor('7', 'f4', 24, (4, 6), (6, 1))})[layout])
  random = np.random.RandomState(0)
  for _ in range(1000):
    damaged = content.copy()
    damaged[random.randint(len(content))] = random.randint(256)
    try:
      found = read(tmp_path, bytes(damaged))
    except UserError:
      continue
    for array in found.values():
      array.sum()


def test_other_files_are_refused(tmp_path):
  with pytest.raises(UserError, match='no file'):
    read_tensors(tmp_path / 'none.pth')
  others = [b'', b'P', b'PK', b'PK\x03\x04' + bytes(100), b'{"a": 1}', pickled({'x': 1}), bytes(1000)]
  for content in others:
    with pytest.raises(UserError, match='is damaged or is not a PyTorch checkpoint'):
      read(tmp_path, content)
  saved = {'x': TENSOR}
  with pytest.raises(UserError, match='compressed'):
    read(tmp_path, zipped(saved, CONTENTS, compression=zipfile.ZIP_DEFLATED))
  for content in (zipped(saved, CONTENTS, b'big'), legacy(saved, CONTENTS, ITEMSIZES, little_endian=False)):
    with pytest.raises(UserError, match='big-endian'):
      read(tmp_path, content)
