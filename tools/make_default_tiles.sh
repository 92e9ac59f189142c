#!/usr/bin/env bash
# Cuts the tile sets of the default weights into tiles/. Argument: the folder of the data, with train/SET/images,
# train/SET/labels and likewise val/ (see docs/model-card.md for the sets, their sources and licences).
set -euo pipefail
data=$1

cut() { # part, set, licence, further options of `geoconvnext tile`
    local part=$1 set=$2 licence=$3
    shift 3
    geoconvnext tile "$data/$part/$set/images" -o "tiles/$part/$set" --licence "$licence" "$@"
}
labelled() { cut "$1" "$2" "$3" --labels "$data/$1/$2/labels" "${@:4}"; }

labelled train hot_oam "OpenAerialMap CC-BY-4.0, OpenStreetMap ODbL"
labelled train spacenet1_rio "SpaceNet CC-BY-SA-4.0" --empty
labelled train massachusetts "MassGIS public domain, labels unknown"
labelled train opencities_accra "Open Cities AI CC-BY-4.0, OpenStreetMap ODbL" --scene-gsd 0.23
labelled train dubai "Humans in the Loop CC0" --scene-gsd 1.0
cut train neon_negatives "NEON CC0" --empty
labelled val hot_oam "OpenAerialMap CC-BY-4.0, OpenStreetMap ODbL"
labelled val spacenet1_rio "SpaceNet CC-BY-SA-4.0"
labelled val spacenet4_atlanta "SpaceNet CC-BY-SA-4.0"
labelled val inria_patches "evaluation only" --scene-gsd 0.3

geoconvnext synth -o synth/train --count 380 --size 768 --gsd 0.3
geoconvnext synth -o synth/train2 --seed 20000 --count 500 --size 768 --gsd 0.3
geoconvnext synth -o synth/train3 --seed 30000 --count 400 --size 768 --gsd 0.35
geoconvnext synth -o synth/val --seed 90000 --count 20 --size 768 --gsd 0.3
geoconvnext tile synth/train --labels synth/train -o tiles/train/synth --licence MIT
geoconvnext tile synth/train2 --labels synth/train2 -o tiles/train/synth2 --licence MIT
geoconvnext tile synth/train3 --labels synth/train3 -o tiles/train/synth3 --licence MIT
geoconvnext tile synth/val --labels synth/val -o tiles/val/synth --licence MIT
