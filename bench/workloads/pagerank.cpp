#include <algorithm>

#include "bench/workloads/native/native.h"
#include "bench/workloads/workloads.h"

namespace weld::bench::workloads {
namespace {

constexpr int kIterations = 10;
constexpr double kDamping = 0.85;

// Edges by their targets: those of node i come from sources[first[i]], …, sources[first[i + 1] - 1].
struct Graph {
  Column<std::int64_t> first;
  Column<std::int32_t> sources;
  Column<double> out_degree;  // at least 1
  Column<double> initial;
  Column<double> rank;
  Column<double> shares;
};

std::shared_ptr<Graph> make_graph(double scale) {
  const std::int64_t num_nodes = scaled(scale, 1'000'000);
  const std::int64_t num_edges = 16 * num_nodes;
  const RandomStream random_source(71);
  const RandomStream random_target(72);
  auto graph = std::make_shared<Graph>();
  graph->first = Column<std::int64_t>(num_nodes + 1);
  graph->sources = Column<std::int32_t>(num_edges);
  graph->out_degree = Column<double>(num_nodes);
  std::vector<std::int64_t> next(static_cast<std::size_t>(num_nodes) + 1);
  for (std::int64_t edge = 0; edge < num_edges; ++edge) {
    ++next[static_cast<std::size_t>(random_target.below(edge, num_nodes)) + 1];
    graph->out_degree[random_source.below(edge, num_nodes)] += 1;
  }
  for (std::size_t node = 1; node < next.size(); ++node) next[node] += next[node - 1];
  std::ranges::copy(next, graph->first.begin());
  for (std::int64_t edge = 0; edge < num_edges; ++edge) {
    const auto target = static_cast<std::size_t>(random_target.below(edge, num_nodes));
    graph->sources[next[target]++] = static_cast<std::int32_t>(random_source.below(edge, num_nodes));
  }
  for (double& degree : graph->out_degree) degree = std::max(degree, 1.0);
  graph->initial =
      make_column<double>(num_nodes, [&](std::int64_t) { return 1.0 / static_cast<double>(num_nodes); });
  graph->rank = Column<double>(num_nodes);
  graph->shares = Column<double>(num_nodes);
  return graph;
}

}  // namespace

Prepared prepare_pagerank(double scale) {
  const auto graph = make_graph(scale);
  const std::int64_t num_nodes = graph->rank.size();
  const double teleport = (1 - kDamping) / static_cast<double>(num_nodes);

  Prepared prepared;
  prepared.num_rows = graph->sources.size();
  prepared.num_bytes =
      kIterations * (graph->first.num_bytes() + graph->sources.num_bytes() + graph->rank.num_bytes());
  const Array first = input_array(graph->first, "first");
  const Array sources = input_array(graph->sources, "sources");
  const Array out_degree = input_array(graph->out_degree, "out_degree");
  Array rank = input_array(graph->initial, "rank");
  for (int iteration = 0; iteration < kIterations; ++iteration) {
    const Array shares = rank / out_degree;
    rank = sparse_matrix_vector(first, sources, shares) * kDamping + teleport;
  }
  prepared.program = rank.fragment();
  prepared.read = read_arrays;
  prepared.run_native = [graph, num_nodes](int threads) {
    native::pagerank({num_nodes, graph->first.data(), graph->sources.data(), graph->out_degree.data(),
                      graph->initial.data(), kDamping, kIterations, graph->rank.data(), graph->shares.data()},
                     threads);
  };
  prepared.read_native = [graph] { return Outcome{.columns = {graph->rank.view()}}; };
  prepared.inputs = {plain_input("first", graph->first), plain_input("sources", graph->sources),
                     plain_input("out_degree", graph->out_degree), plain_input("initial", graph->initial)};
  prepared.parameters = {{"damping", kDamping}, {"iterations", kIterations}};
  return prepared;
}

}  // namespace weld::bench::workloads
