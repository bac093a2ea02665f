// Command controller is an ordinary controller on controller-runtime: informers, leader election by
// a Lease, a finalizer, owned objects, status by patch, events. It knows nothing of the server that
// it runs against.
//
//	controller -config FILE -namespace NS [-trivial]
//
// With -trivial it only counts how often it looks at ConfigMaps (for the benchmark). A line of JSON
// is printed for what tests wait for.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "d.example.com/cleanup"

func say(what string, more map[string]any) {
	if more == nil {
		more = map[string]any{}
	}
	more["said"] = what
	text, _ := json.Marshal(more)
	fmt.Println(string(text))
}

func main() {
	kubeconfig := flag.String("config", "", "kubeconfig file")
	namespace := flag.String("namespace", "default", "the only namespace to look at")
	identity := flag.String("identity", "", "printed with what is said")
	trivial := flag.Bool("trivial", false, "only count reconciles of ConfigMaps")
	flag.Parse()
	if err := run(*kubeconfig, *namespace, *identity, *trivial); err != nil {
		fmt.Fprintln(os.Stderr, "controller:", err)
		os.Exit(1)
	}
}

func run(kubeconfig, namespace, identity string, trivial bool) error {
	ctrl.SetLogger(zap.New(zap.WriteTo(os.Stderr)))
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = 1000, 2000
	if err := clientgoscheme.AddToScheme(clientgoscheme.Scheme); err != nil {
		return err
	}
	scheme := clientgoscheme.Scheme
	addGreeting(scheme)
	lease, renew, retry := 6*time.Second, 4*time.Second, 500*time.Millisecond
	manager, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{namespace: {}}},
		Metrics:                       server.Options{BindAddress: "0"},
		LeaderElection:                true,
		LeaderElectionID:              "greetings.d.example.com",
		LeaderElectionNamespace:       namespace,
		LeaderElectionReleaseOnCancel: true,
		LeaseDuration:                 &lease,
		RenewDeadline:                 &renew,
		RetryPeriod:                   &retry,
	})
	if err != nil {
		return err
	}
	go func() {
		<-manager.Elected()
		say("elected", map[string]any{"identity": identity})
	}()
	if trivial {
		err = (&counter{Client: manager.GetClient()}).add(manager)
	} else {
		err = (&greeter{manager.GetClient(), manager.GetEventRecorder("greeter")}).add(manager)
	}
	if err != nil {
		return err
	}
	return manager.Start(ctrl.SetupSignalHandler())
}

// counter looks each ConfigMap up in its cache, as the smallest useful reconciler would.
type counter struct {
	client.Client
	seen atomic.Int64
}

func (c *counter) add(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).For(&corev1.ConfigMap{}).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4}).Complete(c)
}

func (c *counter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var found corev1.ConfigMap
	if err := c.Get(ctx, request.NamespacedName, &found); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if seen := c.seen.Add(1); seen%1000 == 0 {
		say("seen", map[string]any{"count": seen, "at": time.Now().UnixNano()})
	}
	return ctrl.Result{}, nil
}

type greeter struct {
	client.Client
	events events.EventRecorder
}

func (g *greeter) add(manager ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(manager).For(&Greeting{}).
		Owns(&corev1.ConfigMap{}).Owns(&appsv1.Deployment{}).Complete(g)
}

func (g *greeter) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var greeting Greeting
	if err := g.Get(ctx, request.NamespacedName, &greeting); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !greeting.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, g.leave(ctx, &greeting)
	}
	if controllerutil.AddFinalizer(&greeting, finalizer) {
		return ctrl.Result{}, g.Update(ctx, &greeting)
	}
	config := &corev1.ConfigMap{ObjectMeta: named(&greeting)}
	made, err := controllerutil.CreateOrUpdate(ctx, g, config, func() error {
		config.Data = map[string]string{"text": greeting.Spec.Text}
		return controllerutil.SetControllerReference(&greeting, config, g.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	deployment := &appsv1.Deployment{ObjectMeta: named(&greeting)}
	_, err = controllerutil.CreateOrPatch(ctx, g, deployment, func() error {
		labels := map[string]string{"greeting": greeting.Name}
		deployment.Spec.Replicas = greeting.Spec.Replicas
		deployment.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		deployment.Spec.Template.Labels = labels
		if len(deployment.Spec.Template.Spec.Containers) != 1 {
			deployment.Spec.Template.Spec.Containers = make([]corev1.Container, 1)
		}
		container := &deployment.Spec.Template.Spec.Containers[0]
		container.Name, container.Image = "app", greeting.Spec.Image
		return controllerutil.SetControllerReference(&greeting, deployment, g.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	if made != controllerutil.OperationResultNone {
		g.events.Eventf(&greeting, config, corev1.EventTypeNormal, "Written", "Write", "ConfigMap %s", made)
	}
	return ctrl.Result{}, g.report(ctx, &greeting)
}

func named(greeting *Greeting) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: greeting.Name, Namespace: greeting.Namespace}
}

func (g *greeter) report(ctx context.Context, greeting *Greeting) error {
	before := client.MergeFrom(greeting.deepCopy())
	changed := meta.SetStatusCondition(&greeting.Status.Conditions, metav1.Condition{
		Type: "Ready", Status: metav1.ConditionTrue, Reason: "Written",
		ObservedGeneration: greeting.Generation,
	})
	if !changed && greeting.Status.ObservedGeneration == greeting.Generation {
		return nil
	}
	greeting.Status.ObservedGeneration = greeting.Generation
	return g.Status().Patch(ctx, greeting, before)
}

func (g *greeter) leave(ctx context.Context, greeting *Greeting) error {
	if !controllerutil.RemoveFinalizer(greeting, finalizer) {
		return nil
	}
	say("left", map[string]any{"name": greeting.Name})
	return g.Update(ctx, greeting)
}
