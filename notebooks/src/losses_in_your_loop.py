# %% [markdown]
# # The losses in a loop of your own
#
# You need not train with this library to use it. `gan_jax.losses`, its penalties, layers and optimizers are pure
# functions and small modules. This notebook trains three GANs on the same digits: in **plain JAX**, with **Flax
# NNX**, and with **Equinox**. The outputs below were made on a CPU with two cores; it works on any number of devices.

# %%
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

from gan_jax import losses
from gan_jax.losses import penalties
from gan_jax.optim import minimax
from gan_jax.sampling import pictures

DIGITS = jnp.asarray(load_digits().images[..., None] / 8 - 1, jnp.float32)  # (1797, 8, 8, 1) in [-1, 1]
BATCH, LATENTS = 64, 32
WIDTH = 256  # quick: 8


def drawn(key):
  """A batch of digits (B, 8, 8, 1) and of latents (B, 32)."""
  data_key, latents_key = jax.random.split(key)
  rows = jax.random.randint(data_key, (BATCH,), 0, len(DIGITS))
  return DIGITS[rows], jax.random.normal(latents_key, (BATCH, LATENTS))


# %% [markdown]
# ## A loss is a function of logits
#
# `losses.NAME.discriminator(real_logits, fake_logits)` and `losses.NAME.generator(fake_logits)`: no networks, no
# state.

# %%
real_logits, fake_logits = jnp.array([2.0, 0.5]), jnp.array([-1.0, 1.0])
for name in ('nonsaturating', 'least_squares', 'wasserstein', 'hinge', 'relativistic_average_hinge'):
  pair = getattr(losses, name)
  discriminator = float(pair.discriminator(real_logits, fake_logits))
  generator = float(pair.generator(fake_logits, real_logits))
  print(f'{name:<28} discriminator {discriminator:+.3f}   generator {generator:+.3f}')

# %% [markdown]
# A penalty takes a critic as a function, and keys explicitly. This one has the slope 3 everywhere, so WGAN-GP's
# penalty is (3 - 1) squared:

# %%
float(penalties.wgan_gp(lambda x: 3.0 * x[:, 0], jax.random.key(0), jnp.zeros((4, 2)), jnp.ones((4, 2))))

# %% [markdown]
# ## Plain JAX
#
# Parameters are a dict of arrays. `minimax.alternate` is the whole alternation as one optax transformation: it lets
# the discriminator move in one call and the generator in the next, and leaves the other as it is.


# %%
def layers(key, sizes):
  keys = jax.random.split(key, len(sizes) - 1)
  scale = lambda n: jnp.sqrt(2 / n)
  shapes = zip(keys, sizes, sizes[1:], strict=False)
  return [{'w': scale(n) * jax.random.normal(k, (n, m)), 'b': jnp.zeros(m)} for k, n, m in shapes]


def mlp(params, x):
  for layer in params[:-1]:
    x = jax.nn.leaky_relu(x @ layer['w'] + layer['b'], 0.2)
  return x @ params[-1]['w'] + params[-1]['b']


generate = lambda params, z: jnp.tanh(mlp(params['generator'], z)).reshape(-1, 8, 8, 1)
judge = lambda params, x: mlp(params['discriminator'], x.reshape(len(x), -1))[:, 0]


def gradients(params, key):
  """Of both players, each of its own loss."""
  real, z = drawn(key)

  def of_discriminator(own):
    whole = {**params, 'discriminator': own}
    penalty = penalties.dragan(lambda x: judge(whole, x), key, real)
    return losses.nonsaturating.discriminator(judge(whole, real), judge(whole, generate(params, z))) + penalty

  of_generator = lambda own: losses.nonsaturating.generator(judge(params, generate({'generator': own}, z)))
  return {
    'discriminator': jax.grad(of_discriminator)(params['discriminator']),
    'generator': jax.grad(of_generator)(params['generator']),
  }


tx = minimax.alternate(generator=optax.adam(5e-4, b1=0.5), discriminator=optax.adam(5e-4, b1=0.5))


def move(carry, key):
  params, state = carry
  updates, state = tx.update(gradients(params, key), state, params)
  return (optax.apply_updates(params, updates), state), None


MOVES = 5000  # quick: 4
g_key, d_key = jax.random.split(jax.random.key(0))
params = {
  'generator': layers(g_key, (LATENTS, WIDTH, WIDTH, 64)),
  'discriminator': layers(d_key, (64, WIDTH, WIDTH, 1)),
}
keys = jax.random.split(jax.random.key(1), MOVES)
(params, _), _ = jax.jit(lambda carry: jax.lax.scan(move, carry, keys))((params, tx.init(params)))
z = jax.random.normal(jax.random.key(2), (32, LATENTS))
pictures.grid(np.asarray(generate(params, z)), (-1, 1), columns=16, least_side=700)

# %% [markdown]
# ## Flax NNX
#
# Our networks are Linen modules. `nnx.bridge.ToNNX` makes an NNX module of one, **batch statistics and the vectors of
# spectral norm included**: a call with `mutable=[...]` lets it update these collections, as a training pass must; a
# call with `train=False` changes nothing. (`'params'` stands there for Flax 0.11, Colab's, which else loses those of
# nested layers; a call does not change them.) Losses, `nnx.Optimizer` and `nnx.jit` work as with any NNX module. Give
# every module that a loss calls as an argument, as `nnx.grad` asks of modules that change.

# %%
from flax import nnx

from gan_jax.nets import dcgan

NARROW = 32  # quick: 8
latents, example = jnp.zeros((2, LATENTS)), jnp.zeros((2, 8, 8, 1))
linen_generator = dcgan.Generator(channels=(2 * NARROW, NARROW), base=2, kernel=4, image_channels=1)
linen_discriminator = dcgan.Discriminator(channels=(NARROW, 2 * NARROW), kernel=4, weights='spectral', norm='none')
generator = nnx.bridge.ToNNX(linen_generator, rngs=nnx.Rngs(0)).lazy_init(latents, train=True)
discriminator = nnx.bridge.ToNNX(linen_discriminator, rngs=nnx.Rngs(1)).lazy_init(example, train=True)
fake = lambda generator, z: generator(z, train=True, mutable=['params', 'batch_stats'])
logits = lambda discriminator, x: discriminator(x, train=True, mutable=['params', 'spectral'])
print('collections:', sorted({type(v).__name__ for _, v in nnx.to_flat_state(nnx.state((generator, discriminator)))}))


@nnx.jit
def nnx_step(generator, discriminator, g_optimizer, d_optimizer, key):
  real, z = drawn(key)

  def discriminator_loss(discriminator, generator):
    real_logits, fake_logits = logits(discriminator, real), logits(discriminator, fake(generator, z))
    return losses.hinge.discriminator(real_logits, fake_logits)

  def generator_loss(generator, discriminator):
    return losses.hinge.generator(logits(discriminator, fake(generator, z)))

  d_optimizer.update(discriminator, nnx.grad(discriminator_loss)(discriminator, generator))
  g_optimizer.update(generator, nnx.grad(generator_loss)(generator, discriminator))


STEPS = 1000  # quick: 2
g_optimizer = nnx.Optimizer(generator, optax.adam(5e-4, b1=0.5), wrt=nnx.Param)
d_optimizer = nnx.Optimizer(discriminator, optax.adam(5e-4, b1=0.5), wrt=nnx.Param)
for number in range(STEPS):
  nnx_step(generator, discriminator, g_optimizer, d_optimizer, jax.random.fold_in(jax.random.key(1), number))
pictures.grid(np.asarray(generator(z, train=False)), (-1, 1), columns=16, least_side=700)

# %% [markdown]
# ## Equinox
#
# An Equinox model is a pytree, and so are its gradients. The same two functions are all that is needed. (On Colab:
# `pip install equinox`.)

# %%
try:
  import equinox as eqx
except ImportError:
  subprocess.check_call([sys.executable, '-m', 'pip', 'install', '--quiet', 'equinox'])
  import equinox as eqx

g_key, d_key = jax.random.split(jax.random.key(3))
eqx_generator = eqx.nn.MLP(LATENTS, 64, WIDTH, 2, activation=jax.nn.relu, final_activation=jnp.tanh, key=g_key)
eqx_discriminator = eqx.nn.MLP(64, 'scalar', WIDTH, 2, activation=jax.nn.leaky_relu, key=d_key)


@eqx.filter_jit
def eqx_step(generator, discriminator, g_state, d_state, key):
  real, z = drawn(key)
  flat = real.reshape(BATCH, -1)

  def discriminator_loss(discriminator):
    penalty = penalties.dragan(jax.vmap(discriminator), key, flat)
    fake_logits = jax.vmap(discriminator)(jax.vmap(generator)(z))
    return losses.nonsaturating.discriminator(jax.vmap(discriminator)(flat), fake_logits) + penalty

  updates, d_state = eqx_adam.update(eqx.filter_grad(discriminator_loss)(discriminator), d_state)
  discriminator = eqx.apply_updates(discriminator, updates)
  generator_loss = lambda generator: losses.nonsaturating.generator(jax.vmap(discriminator)(jax.vmap(generator)(z)))
  updates, g_state = eqx_adam.update(eqx.filter_grad(generator_loss)(generator), g_state)
  return eqx.apply_updates(generator, updates), discriminator, g_state, d_state


eqx_adam = optax.adam(5e-4, b1=0.5)
players = eqx_generator, eqx_discriminator
states = tuple(eqx_adam.init(eqx.filter(player, eqx.is_array)) for player in players)
for number in range(2 * STEPS):
  *players, g_state, d_state = eqx_step(*players, *states, jax.random.fold_in(jax.random.key(1), number))
  states = g_state, d_state
images = np.asarray(jax.vmap(players[0])(z)).reshape(-1, 8, 8, 1)
pictures.grid(images, (-1, 1), columns=16, least_side=700)

# %% [markdown]
# `docs/library.md` lists all losses, penalties, layers, optimizers and rules, and says where a number means something
# else than in other well-known code.
