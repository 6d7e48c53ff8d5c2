// SPDX-License-Identifier: Apache-2.0
// The running part of `estimate-memory` as one HTML page without network: breakdown, memory over context, layers, what-if sliders. Its
// figures are computed here for a grid; the page only picks them.
#pragma once

#include <string>

#include "commands/estimate_text.h"

namespace bigmodel::app {

/// A form above the page, for a server: model and device as they were asked for.
struct ReportForm {
  std::string model, device, error;
};

/// Of a result with `inference`; `form` may be null.
std::string report_page(const EstimateResult& result, const ReportForm* form);
/// The form with nothing below it.
std::string report_form_page(const ReportForm& form);

}  // namespace bigmodel::app
