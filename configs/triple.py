"""Triple-GAN: a classifier, a class-conditional generator and a discriminator of pairs, from 100 labels.

Paper: Li et al. 2017, https://arxiv.org/abs/1703.02291; settings of the authors' code (zhenxuan00/triple-gan).
Command: TFDS_DATA_DIR=<prepared data> python -m gan_jax.main --config configs/triple.py --workdir runs/triple

  mnist   10 labels of each class, 30 epochs of the classifier alone, 1,000 of all, from the 300th on with R_P; the
          default. 4,000 steps in place of 603,600: 2.9 % error.
  digits  2 labels of each class of scikit-learn's digits (16x16): needs no download; 8 minutes. Mean error of
          three draws 14 %, of the classifier's first stage alone 15 %.

Then python -m gan_jax.evaluate --workdir runs/triple --metrics classifier,classes. Another draw of labels is
--config.data.labelled.per_class_seed=1 --config.data.real_labelled.per_class_seed=1.

differs: classes that the generator is asked for are drawn; the authors have as many of each in every batch.
differs: the discriminator and the classifier move on unlabelled examples of their own, the authors' on the same.
differs: the running average of the classifier starts at its weights, the authors' at 0.
differs: the gains of the generator's last layer start at the norms of its weights, the authors' at 1.
differs: the discriminator's second layer reads the class once, the authors' twice.
differs: the batch norm of the authors' classifier also averages over batches of the discriminator's move.
differs: `digits` is ours: sizes, widths, lengths, and 100 unlabelled pairs of the discriminator beside a labelled one.
differs: a run's labels are drawn for each class by `per_class_seed`: no draw is one of the authors'.
differs: running statistics average the variance of batches, the authors' (Lasagne's) one over the deviation.
differs: cross-entropies are exact; the authors hold probabilities in (1e-6, 1 - 1e-6), beyond which nothing pulls.
differs: samples are of running statistics, the authors' of those of their batch.
"""

from gan_jax import config as config_lib

VARIANTS = ('mnist', 'digits')


def get_config(variant):
  digits = variant == 'digits'
  size, epoch = (16, 14) if digits else (28, 600)
  # (of pre-training: steps; of all, and before R_P counts: epochs). The rates fall from the end of the next one on.
  before, epochs, late = (900, 150, 50) if digits else (30 * 120, 1000, 299)
  hidden = dict(hidden=(250, 250, 250)) if digits else dict(hidden=(1000, 500, 250, 250, 250))
  rate = dict(
    name='optax.exponential_decay',
    init_value=1e-3,
    transition_steps=epoch,
    decay_rate=0.995,
    transition_begin=late * epoch,
    staircase=True,
  )
  adam = dict(name='optax.adam', learning_rate=rate, b1=0.5)
  return config_lib.base(
    game=dict(
      name='triple.TripleGAN',
      latents=dict(z=dict(name='Uniform', shape=(100,), low=0.0, high=1.0), label=dict(name='Label', classes=10)),
      generator=dict(name='triple.Generator', classes=10, hidden=(500, 500), shape=(size, size, 1)),
      discriminator=dict(name='triple.Discriminator', classes=10, noise=(0.3, 0.5), **hidden),
      classifier=dict(name='triple.Classifier', classes=10, dropout=0.5),
      entropy=(0.3, 0.3),
      balance=(0.001, 0.3),
      decay=1e-4,
      decayed='Dense_0',
      pseudo=0.1,
      fakes=True,
      pretraining=False,
    ),
    optimizers=dict(generator=adam, discriminator=adam, classifier=adam),
    ema=dict(classifier=0.99),
    data=_data(variant, size, 20 if digits else 100),
    batch_size=100 if digits else 200,
    stages=(
      dict(
        steps=before,
        game=dict(pretraining=True),
        data=dict(unlabelled=dict(batch_size=500)),
        optimizers=dict(classifier=dict(b1=0.9, learning_rate=dict(init_value=3e-4))),
      ),
      dict(steps=late * epoch, game=dict(fakes=False), reset=dict(optimizer=('classifier',))),
      dict(
        steps=(epochs - late) * epoch,
        reset=dict(optimizer=('classifier',)),
        optimizers=dict(classifier=dict(learning_rate=dict(transition_begin=0))),  # its steps are counted anew
      ),
    ),
    log_every=100 if digits else epoch,
    sample_every=10 * epoch,
    checkpoint_every=10 * epoch,
  )


def _data(variant, size, labels):
  pixels = dict(name=variant, size=size, channels=1, range=(0.0, 1.0))
  labelled = dict(classes=10, per_class=labels // 10)
  return config_lib.streams(
    pixels,
    labelled=dict(batch_size=min(labels, 100), **labelled),
    unlabelled=dict(batch_size=100),
    real_labelled=dict(batch_size=1, **labelled),
    real_unlabelled=dict(batch_size=100 if variant == 'digits' else 400),
  )
