"""One process, offline, on 8 simulated devices, with strict ranks and no tolerated warning of ours."""

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

# Before jax starts. Asynchronous dispatch is known to hang with many simulated devices.
os.environ.pop('TFDS_DATA_DIR', None)
os.environ['JAX_PLATFORMS'] = 'cpu'
# What a developer's own cache holds must not decide a test.
os.environ['GAN_JAX_CACHE'] = tempfile.mkdtemp(prefix='gan_jax_tests_')
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'docs' / 'example'))

import jax

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_cpu_enable_async_dispatch', False)
jax.config.update('jax_numpy_rank_promotion', 'raise')
atexit.register(shutil.rmtree, os.environ['GAN_JAX_CACHE'], ignore_errors=True)
