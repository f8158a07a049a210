# %% [markdown]
# # gan_jax: the first ten minutes
#
# Train a DCGAN on real handwritten digits, watch its samples grow, measure them, and stop and resume the run. It
# works on a CPU, a GPU and a TPU, with any number of devices. The outputs below were made on a CPU with two cores.

# %% [markdown]
# ## Train
#
# A **config** is a dictionary of settings: the game (networks and losses), the optimizers, the data, the number of
# steps. `configs/quickstart.py` is a DCGAN for scikit-learn's 8x8 digits, which need no download. Any setting can be
# changed.

# %%
from gan_jax import config
from gan_jax.training import loop

STEPS = 1500  # quick: 6
settings = config.load('configs/quickstart.py')
settings.steps = STEPS
settings.sample_every = settings.checkpoint_every = STEPS // 6
settings.log_every = STEPS // 3
# Samples are made of a running average of the weights; a short run needs a short one.
settings.ema.generator = 0.99
state = loop.run(settings, 'runs/digits')

# %% [markdown]
# The folder `runs/digits` now holds all of the run: settings, metrics, pictures, checkpoints. On the command line it
# is `python -m gan_jax.main --config configs/quickstart.py --workdir runs/digits`, with the config's own length.
#
# ## Watch samples grow
#
# Each picture in `samples/` is made of the same latents. So you see one digit become itself.

# %%
import pathlib

from PIL import Image

from gan_jax.sampling import pictures

files = sorted(pathlib.Path('runs/digits/samples').glob('step_*.png'))
print([file.stem for file in files])
chosen = [Image.open(files[i]).reduce(2) for i in (0, 1, 2, -1)]
pictures.beside(chosen)

# %% [markdown]
# ## Sample
#
# A run is loaded from its folder. Sample `i` depends on the seed and on `i`, not on the batch that it was made in.

# %%
import numpy as np

run = gan_jax.load('runs/digits')
images = run.sample(32, seed=1)
print(images.shape, images.dtype, 'in', run.range)
assert np.allclose(run.sample(5, seed=1), images[:5], atol=1e-5)
pictures.grid(images, run.range, columns=16, least_side=700)

# %% [markdown]
# `run.generate` takes latents of your own: here straight ways from one sample to another.

# %%
z = run.latents(8, seed=3)
ways = np.concatenate([np.linspace(z[2 * i], z[2 * i + 1], 13) for i in range(4)])
pictures.grid(run.generate(ways.astype(np.float32)), run.range, columns=13, least_side=560)

# %% [markdown]
# ## Evaluate
#
# A figure means nothing without its **protocol**: how many samples, compared with which data, in which features. The
# classifier that sees the digits is trained here, once, and kept. The lower `fid` the better; for `prdc` 1 is best.

# %%
from gan_jax.evaluate import evaluate

SAMPLES = 1433  # quick: 40
figures = evaluate(run, metrics='fid,prdc,classes', samples=SAMPLES)
print(figures.table())

# %% [markdown]
# ## Stop and resume
#
# A run stops when you interrupt it (the stop button here, Ctrl-C in a terminal), and is saved. The same command goes
# on where it stopped, and nothing is lost: the order of the data, the optimizers and the noise go on as well. Here we
# ask the finished run for more steps.

# %%
settings.steps = STEPS + STEPS // 3
state = loop.run(settings, 'runs/digits')
gan_jax.load('runs/digits').step

# %% [markdown]
# ## What next
#
# - `your_own_gan.ipynb`: write a new GAN in one cell.
# - `two_dimensions.ipynb`: see how GANs learn, and why they collapse.
# - `python -m gan_jax.main --list` names all systems, from GAN 2014 to R3GAN, each with its paper.
# - Your own pictures: `--config configs/dcgan.py --config.data.name=folder --config.data.path=photos/`.
