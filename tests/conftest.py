"""Offline, on 8 simulated devices, with strict ranks and no tolerated warning of ours; what is compiled is shared."""

import atexit
import functools
import gc
import importlib
import os
import pathlib
import shutil
import sys
import tempfile
import zlib

import pytest

# Before jax starts. Asynchronous dispatch is known to hang with many simulated devices.
os.environ.pop('TFDS_DATA_DIR', None)
# GAN_JAX_TEST_PLATFORM=cuda runs them on a GPU, where those of several devices fail.
os.environ['JAX_PLATFORMS'] = os.environ.get('GAN_JAX_TEST_PLATFORM', 'cpu')
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'docs' / 'example'))

#: Compiled programs are kept from run to run: they are found by the program, the flags and the versions, never by the
#: test. No test depends on finding one.
PROGRAMS, LARGEST = pathlib.Path(__file__).parent.parent / '.cache' / 'tests', 2 << 30  # bytes
#: One folder for all processes of a run of the tests: what a developer's own caches hold must not decide a test.
FOLDER = os.environ.get('GAN_JAX_TESTS', '')
if not FOLDER:
  FOLDER = os.environ['GAN_JAX_TESTS'] = tempfile.mkdtemp(prefix='gan_jax_tests_')
  atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
  if PROGRAMS.is_dir() and sum(file.stat().st_size for file in PROGRAMS.iterdir()) > LARGEST:
    shutil.rmtree(PROGRAMS)
os.environ['GAN_JAX_CACHE'] = str(pathlib.Path(FOLDER) / 'cache')
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(PROGRAMS)
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '0'

os.environ.setdefault('OPENBLAS_NUM_THREADS', '1')  # its idle threads spin, and pytest-xdist keeps all cores busy

import jax  # noqa: E402
import numpy as np  # noqa: E402

from gan_jax.base import memory  # noqa: E402

# Of the time that a small program takes, a sixth goes into a context of its own: here they share one, but for programs
# that are made while another is. The function is private: where a version of jax lacks it, nothing is shared.
mlir = importlib.import_module('jax._src.interpreters.mlir')
make_context = getattr(mlir, 'make_ir_context', None)
shared_context = functools.cache(lambda: make_context())


def _context():
  return shared_context() if _outside() else make_context()


def _outside():
  try:
    return mlir.ir.Context.current is None
  except ValueError:
    return True


if make_context is not None:
  mlir.make_ir_context = _context

# A tenth of the time of tracing is Python's search for garbage, of which there is little. Every file ends with one.
gc.set_threshold(200_000, 20, 20)
gc.freeze()

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_cpu_enable_async_dispatch', False)
jax.config.update('jax_numpy_rank_promotion', 'raise')

#: MiB by which a process may grow before it forgets what it compiled.
GROWTH = 300


def resident() -> float:
  """MiB of memory that this process has now; 0 where the system does not say."""
  try:
    lines = pathlib.Path('/proc/self/status').read_text().splitlines()
  except OSError:
    return 0
  return int(next(line for line in lines if line.startswith('VmRSS')).split()[1]) / 1024


#: MiB that were left when this process last forgot.
left = resident()


def seed(module, name: str) -> None:
  """Generators of a test's file begin anew: whichever tests this worker ran before, what draws now draws the same."""
  for variable, value in vars(module).items() if module else ():
    if isinstance(value, np.random.RandomState):
      value.seed(zlib.crc32(f'{name} {variable}'.encode()))
  if 'torch' in sys.modules:
    sys.modules['torch'].manual_seed(zlib.crc32(name.encode()))


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef, request):
  seed(getattr(request, 'module', None), f'{request.node.nodeid} {fixturedef.argname}')


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
  seed(getattr(item, 'module', None), item.nodeid)


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item, nextitem):
  global left
  leaving = nextitem is None or nextitem.path != item.path
  for value in vars(item.module).values() if leaving and hasattr(item, 'module') else ():
    if hasattr(value, 'cache_clear'):  # runs and programs that tests of this file share
      value.cache_clear()
  # Not after every file, and not above a fixed number: what stays would be searched for garbage again and again.
  if resident() > left + GROWTH:
    jax.clear_caches()
    shared_context.cache_clear()
    gc.collect()
    gc.freeze()
    memory.release()
    left = resident()
