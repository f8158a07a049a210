"""One process, offline, on 8 simulated devices, with strict ranks and no tolerated warning of ours."""

import os
import pathlib
import sys

# Before jax starts. Asynchronous dispatch is known to hang with many simulated devices.
os.environ.pop('TFDS_DATA_DIR', None)
os.environ['JAX_PLATFORMS'] = 'cpu'
sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'docs' / 'example'))

import jax

jax.config.update('jax_num_cpu_devices', 8)
jax.config.update('jax_cpu_enable_async_dispatch', False)
jax.config.update('jax_numpy_rank_promotion', 'raise')
