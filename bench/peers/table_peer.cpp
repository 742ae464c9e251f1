#include "bench/peers/table_peer.h"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/peers/python_peer.h"

namespace weld::bench::peers {
namespace {

using nlohmann::json;
using workloads::native::String;
namespace fs = std::filesystem;

constexpr std::string_view kNames[] = {"i8", "f8", "text"};

// Strings go as lines of text, which every library reads (Polars where the file is called .csv).
void write_column(const fs::path& file, const ColumnView& column) {
  if (column.type != ElementType::kString)
    return write_file(file, column.first, column.length * element_bytes(column.type));
  std::string text;
  for (std::int64_t i = 0; i < column.length; ++i) {
    text += column.at<String>(i).view();
    text += '\n';
  }
  write_file(file, text.data(), std::ssize(text));
}

ResultColumn read_column(const fs::path& file, std::string_view type) {
  ResultColumn column;
  column.elements = read_file(file);
  if (type != kNames[2]) {
    column.type = type == kNames[0] ? ElementType::kI64 : ElementType::kF64;
    return column;
  }
  column.type = ElementType::kString;
  column.text.assign(reinterpret_cast<const char*>(column.elements.data()), column.elements.size());
  std::vector<String> strings;
  for (std::size_t begin = 0; begin < column.text.size();) {
    const std::size_t end = column.text.find('\n', begin);
    strings.push_back({reinterpret_cast<const std::uint8_t*>(column.text.data()) + begin,
                       static_cast<std::int64_t>(end - begin)});
    begin = end + 1;
  }
  column.elements.resize(strings.size() * sizeof(String));
  std::memcpy(column.elements.data(), strings.data(), column.elements.size());
  return column;
}

}  // namespace

TablePeer::TablePeer(std::unique_ptr<PeerProcess> process) : process_(std::move(process)) {}

std::unique_ptr<TablePeer> TablePeer::start_pandas() {
  std::unique_ptr<PeerProcess> process = start_python(1);
  return process ? std::unique_ptr<TablePeer>(new TablePeer(std::move(process))) : nullptr;
}

std::unique_ptr<TablePeer> TablePeer::start_polars(int threads) {
  std::unique_ptr<PeerProcess> process =
      PeerProcess::start("node", WELD_PEERS_NODE_SCRIPT, {"POLARS_MAX_THREADS=" + std::to_string(threads)});
  return process ? std::unique_ptr<TablePeer>(new TablePeer(std::move(process))) : nullptr;
}

bool TablePeer::load(std::string_view operation, std::span<const PlainTable> tables) {
  json columns = json::array();
  for (const PlainTable& table : tables) {
    for (const PlainTable::Column& column : table.columns) {
      const fs::path file = process_->folder() / (table.name + "-" + column.name + ".csv");
      write_column(file, column.values);
      columns.push_back({{"table", table.name},
                         {"name", column.name},
                         {"element", kNames[static_cast<int>(column.values.type)]},
                         {"file", file.string()}});
    }
  }
  return process_->ask({{"do", "load_tables"}, {"operation", operation}, {"columns", columns}})["known"]
      .get<bool>();
}

void TablePeer::forget() {
  process_->ask({{"do", "forget"}});
}

double TablePeer::run_ms() {
  return process_->ask({{"do", "run_operation"}})["ms"].get<double>();
}

std::vector<ResultColumn> TablePeer::result() {
  const json answer = process_->ask({{"do", "columns"}, {"folder", process_->folder().string()}});
  std::vector<ResultColumn> columns;
  for (const json& column : answer["columns"]) {
    const fs::path file = column["file"].get<std::string>();
    columns.push_back(read_column(file, column["element"].get<std::string>()));
    fs::remove(file);
  }
  return columns;
}

}  // namespace weld::bench::peers
