#!/usr/bin/env bash
# One run on a Cloud TPU slice, one process per host: makes the slice, installs, trains, removes the slice.
# Start it in a clone of this repository, on a machine with gcloud:
#   PROJECT=... ZONE=us-central2-b TYPE=v4-32 SHARE=/mnt/share bash docs/clusters/tpu_slice.sh
set -euo pipefail

NAME=${NAME:-gan}
TYPE=${TYPE:-v4-32}
RUNTIME=${RUNTIME:-tpu-ubuntu2204-base}
CONFIG=${CONFIG:-configs/dcgan.py}
# A folder that all hosts see, such as a mounted share; the runs and the prepared data are in it.
SHARE=${SHARE:-/mnt/share}
: "${PROJECT:?the Google Cloud project}" "${ZONE:?the zone}"
AT=(--project="$PROJECT" --zone="$ZONE")

gcloud compute tpus tpu-vm create "$NAME" "${AT[@]}" --accelerator-type="$TYPE" --version="$RUNTIME"
trap 'gcloud compute tpus tpu-vm delete "$NAME" "${AT[@]}" --quiet' EXIT

everywhere() { gcloud compute tpus tpu-vm ssh "$NAME" "${AT[@]}" --worker=all --command="$1"; }
gcloud compute tpus tpu-vm scp --recurse . "$NAME":gan_jax "${AT[@]}" --worker=all
everywhere "cd gan_jax && python3 -m venv .venv && .venv/bin/pip install --quiet '.[tpu]'"

# The same command on every host. The hosts of a slice find each other by themselves.
everywhere "cd gan_jax && TFDS_DATA_DIR=$SHARE/data .venv/bin/python -m gan_jax.main --distributed \
  --config $CONFIG --workdir $SHARE/runs/$NAME --config.dtype=bfloat16"
