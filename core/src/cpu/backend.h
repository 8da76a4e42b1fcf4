// The CPU backend, behind the Backend protocol.
#pragma once

#include <memory>

#include "cyxwiz/device.h"

namespace cyxwiz::cpu {

std::unique_ptr<Backend> make_backend();

}  // namespace cyxwiz::cpu
