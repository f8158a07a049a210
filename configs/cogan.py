"""CoGAN: two GANs that share layers make pairs of pictures from two domains, though no pair is ever seen.

Paper: Liu and Tuzel 2016, https://arxiv.org/abs/1606.07536; settings of the authors' PyTorch code (mingyuliutw/CoGAN).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/cogan.py --workdir runs/cogan

  edges   MNIST's digits, and the edges of the other half of them; the default. A quarter as wide, 40 minutes: the
          pixels of pairs agree to 93.2 %, their classes in 79 %; by chance 82.5 and 11 % (paper: 95.2 % of pixels).
  adapt   a classifier of MNIST's digits is adapted to scikit-learn's, whose labels it never sees. Unmeasured;
          to USPS's, a quarter as wide: 90.0 % of its test digits right, 95.0 % with a border, and back 95.4 %, one
          to two hours of a core beside other work (docs/results.md).
  digits  scikit-learn's digits (14x14) and their edges: needs no download. 15 minutes beside other work: digits of all
          classes, but the edges are of others: the pixels of pairs agree to 81.9 %, their classes in 3 %; by chance
          84.6 and 11.7 %.

Negatives in place of edges: --config.data.b.name=negatives/mnist (98.8 % of pixels, 94 % of classes). A conditional
GAN, for comparison:
--config.game.generator.conditional=True --config.game.discriminator.conditional=True. Agreement of the pairs:
python -m gan_jax.evaluate --workdir runs/cogan --stream b --output b --metrics pairs,pair_classes

To adapt to USPS: --config.data.b.name=npz --config.data.b.path="usps_16_{split}.npz"; error in the second domain:
python -m gan_jax.evaluate --workdir runs/adapt --stream b --output b --metrics classifier

differs: biases start at 0, the authors' at 0.1.
differs: samples, and so figures of pairs, are of running statistics; the authors' of those of their batch.
differs: the authors' Caffe code has another recipe: latents in (-1, 1), batches of 128, dropout behind the hidden
  layer, 50,000 steps. Which of the two made the paper's figures is not known here.
differs: the two streams of `digits` are of the same pictures, in orders of their own.
differs: the digits of USPS fill the 28 pixels, as they fill their 16, if the file has no border; for the authors' Caffe
  code they have one of 3 pixels of 22, as MNIST's. That code is trained and tested with the same 1,800 pictures of
  USPS; so is the small setting of the PyTorch code. The full setting of the PyTorch code reports the best test on the
  way, about 95 %.
differs: the second domain goes through its pictures in an order, the authors draw each at random; the halves of
  `edges` are the first and the last 30,000, the authors' random.
differs: the generator's first layer has a bias for each place, as in the Caffe code; in the PyTorch code one for each
  channel, which the norm behind it removes.
"""

from gan_jax import config as config_lib

VARIANTS = ('edges', 'adapt', 'digits')


def get_config(variant):
  adapt, digits = variant == 'adapt', variant == 'digits'
  # Pooling leaves out an odd last row and column: of 16 pixels the discriminator would not see the last 2.
  pixels = dict(size=14 if digits else 28, channels=1, range=(0.0, 1.0))
  small = dict(channels=(128, 64, 32), kernel=4) if digits else {}
  judge = dict(channels=(20, 50), kernel=3, hidden=200) if digits else dict(channels=(20, 50), kernel=5, hidden=500)
  adam = dict(name='optax.adam', learning_rate=2e-4, b1=0.5)
  # The decay is part of the gradient, as in PyTorch's Adam.
  decayed = dict(name='chain', links=(dict(name='optax.add_decayed_weights', weight_decay=5e-4), adam))
  steps = {'edges': 5_000, 'adapt': 10_000, 'digits': 5_000}[variant]
  return config_lib.base(
    game=dict(
      name='cogan.CoGAN',
      classifier=10.0 if adapt else 0.0,
      matching=0.01 if adapt else 0.0,
      latents=dict(name='Normal', shape=(100,)),
      generator=dict(name='cogan.Generator', image_channels=1, output='sigmoid', conditional=False, **small),
      discriminator=dict(name='cogan.Discriminator', classes=10 if adapt else 0, conditional=False, **judge),
    ),
    optimizers=dict(generator=decayed, discriminator=decayed),
    data=_data(variant, pixels),
    batch_size=64,
    steps=steps,
    log_every=100,
    sample_every=steps // 10,
    checkpoint_every=steps // 10,
  )


def _data(variant, pixels):
  if variant == 'adapt':
    return config_lib.streams(pixels, a=dict(name='mnist', classes=10), b=dict(name='digits'))
  if variant == 'digits':
    return config_lib.streams(pixels, a=dict(name='digits'), b=dict(name='edges/digits'))
  return config_lib.streams(
    pixels,
    a=dict(name='mnist', split='train[:30000]'),
    b=dict(name='edges/mnist', split='train[30000:]'),
  )
